package chtest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"microagent/ch"
)

// chainEnds checks that err is the server's refusal with a status and a chain that ends with the given texts.
func chainEnds(t *testing.T, err error, status int, tail ...string) {
	t.Helper()
	failure, ok := errors.AsType[*ch.Error](err)
	if !ok {
		t.Errorf("got %v, want a refusal that ends with %q", err, tail)
		return
	}
	if failure.Status != status {
		t.Errorf("status %d, want %d: %v", failure.Status, status, err)
	}
	if failure.Chain[0] != "Error from API" {
		t.Errorf("chain begins with %q", failure.Chain[0])
	}
	got := failure.Chain[max(0, len(failure.Chain)-len(tail)):]
	if !slices.Equal(got, tail) {
		t.Errorf("chain is %q, want it to end with %q", failure.Chain, tail)
	}
}

func testPing(t *testing.T, s Server) {
	v := s.start(t)
	if v.ping.Pid != int64(v.cmd.Process.Pid) || len(v.ping.Features) == 0 {
		t.Errorf("ping says %+v; the process is %d", v.ping, v.cmd.Process.Pid)
	}
	for _, text := range []string{v.ping.Version, v.ping.BuildVersion} {
		version, err := ch.ParseVersion(text)
		must(t, err)
		if _, err := ch.CheckVersion(version); err != nil {
			t.Error(err)
		}
	}
	must(t, v.client.ShutdownVMM(t.Context()))
	if code := v.wait(); code != 0 {
		t.Errorf("exit code %d after vmm.shutdown", code)
	}
	if got := v.story(); !slices.Equal(got, []string{"vmm/starting", "vmm/shutdown"}) {
		t.Errorf("events: %v", got)
	}
}

func testBeforeBoot(t *testing.T, s Server) {
	v := s.start(t)
	ctx, c := t.Context(), v.client
	const notCreated, notRunning = "VM is not created", "VM is not running"
	_, infoErr := c.Info(ctx)
	_, countersErr := c.Counters(ctx)
	_, addErr := c.AddDisk(ctx, v.disk("a", 1<<20))
	for _, x := range []struct {
		name   string
		err    error
		status int
		text   string
	}{
		{"info", infoErr, 404, notCreated},
		{"boot", c.Boot(ctx), 404, "VM config is missing"},
		{"counters", countersErr, 500, notRunning},
		{"shutdown", c.Shutdown(ctx), 500, notRunning},
		{"pause", c.Pause(ctx), 500, notRunning},
		{"resume", c.Resume(ctx), 500, notRunning},
		{"reboot", c.Reboot(ctx), 404, notCreated},
		{"power button", c.PowerButton(ctx), 500, notRunning},
		{"nmi", c.NMI(ctx), 500, notRunning},
		{"add-disk", addErr, 404, notCreated},
		{"remove-device", c.RemoveDevice(ctx, "x"), 404, notCreated},
		{"resize", c.Resize(ctx, ch.VmResize{}), 404, notCreated},
		{"resize-disk", c.ResizeDisk(ctx, "x", 512), 404, notCreated},
		{"snapshot", c.Snapshot(ctx, "file:///nowhere"), 500, notRunning},
	} {
		t.Run("none "+x.name, func(t *testing.T) { chainEnds(t, x.err, x.status, x.text) })
	}
	must(t, c.Delete(ctx))
	if v.state() != ch.NotCreated {
		t.Errorf("state %s", v.state())
	}

	config := v.config(s.Guest, v.disk("b", 1<<20))
	config.Disks[0].Id = nil
	must(t, c.Create(ctx, config))
	info, err := c.Info(ctx)
	must(t, err)
	if v.state() != ch.Created || info.DeviceTree != nil || deref(info.MemoryActualSize) != 256<<20 {
		t.Errorf("info after create: %+v", info)
	}
	for _, x := range []struct {
		name   string
		err    error
		status int
		text   string
	}{
		{"create", c.Create(ctx, config), 500, "VM is already created"},
		{"shutdown", c.Shutdown(ctx), 500, notRunning},
		{"pause", c.Pause(ctx), 500, notRunning},
		{"resume", c.Resume(ctx), 500, notRunning},
		{"reboot", c.Reboot(ctx), 404, notCreated},
		{"power button", c.PowerButton(ctx), 500, notRunning},
		{"resize-disk", c.ResizeDisk(ctx, "x", 512), 500, "Failed resizing a disk image"},
		{"remove-device", c.RemoveDevice(ctx, "x"), 500, `No device with id "x" to remove`},
		{"restore", c.Restore(ctx, ch.RestoreConfig{SourceUrl: "file:///nowhere"}), 500, "VM is already created"},
	} {
		t.Run("created "+x.name, func(t *testing.T) { chainEnds(t, x.err, x.status, x.text) })
	}
	added, err := c.AddDisk(ctx, v.disk("c", 1<<20))
	must(t, err)
	if added != nil {
		t.Errorf("a cold add gave %+v", added)
	}
	must(t, c.RemoveDevice(ctx, "c"))
	must(t, c.Resize(ctx, ch.VmResize{}))
	must(t, c.Delete(ctx))
	if v.state() != ch.NotCreated {
		t.Errorf("state %s after delete", v.state())
	}
	want := []string{"vmm/starting", "vm/booting", "vm/rebooting", "vm/rebooting", "vm/deleted"}
	v.await("vm", "deleted", 1)
	if got := v.story(); !slices.Equal(got, want) {
		t.Errorf("events: %v, want %v", got, want)
	}
}

// raw sends a request as it is and gives status and body.
func (v *vmm) raw(method, path, body string) (int, string) {
	v.t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return ch.Unix(v.path("api.sock"))(ctx) }}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(v.t.Context(), method, "http://localhost"+path, strings.NewReader(body))
	must(v.t, err)
	response, err := transport.RoundTrip(request)
	must(v.t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	must(v.t, err)
	if response.StatusCode != http.StatusNoContent && response.Header.Get("Content-Type") != "application/json" {
		v.t.Errorf("%s %s: content type %q", method, path, response.Header.Get("Content-Type"))
	}
	return response.StatusCode, string(text)
}

func testRequests(t *testing.T, s Server) {
	v := s.start(t)
	for _, x := range []struct {
		method, path, body string
		status             int
		first              string // first element of the chain; "" for an empty body
	}{
		{"PUT", "/api/v1/vm.nonsense", "", 404, "Not Found"},
		{"GET", "/api/v1/vm.info?x=1", "", 404, "Not Found"},
		{"GET", "/api/v1/vm.info/", "", 404, "Not Found"},
		{"GET", "/api/v1/vm.boot", "", 400, "Bad Request"},
		{"PUT", "/api/v1/vm.info", "", 400, "Bad Request"},
		{"PATCH", "/api/v1/vm.boot", "", 400, ""},
		{"PUT", "/api/v1/vm.create", "", 400, ""},
		{"PUT", "/api/v1/vm.resize-disk", "", 400, "Bad Request"},
		{"PUT", "/api/v1/vm.boot", "{}", 400, "Bad Request"},
		{"PUT", "/api/v1/vm.create", "{", 400, "Failed to deserialize JSON"},
		{"PUT", "/api/v1/vm.create", `{"payload":7}`, 400, "Failed to deserialize JSON"},
		{"PUT", "/api/v1/vm.create", `{"cpus":{"boot_vcpus":1}}`, 400, "Failed to deserialize JSON"},
		{"PUT", "/api/v1/vm.create", `{"cpus":null}`, 400, "Failed to deserialize JSON"},
		{"PUT", "/api/v1/vm.create", `{"disks":[{"readonly":null}]}`, 400, "Failed to deserialize JSON"},
		{"PUT", "/api/v1/vm.create", `{"disks":[{"image_type":"raw"}]}`, 400, "Failed to deserialize JSON"},
		{"PUT", "/api/v1/vm.create", `{"vsock":{"cid":-1,"socket":"x"}}`, 400, "Failed to deserialize JSON"},
		{"PUT", "/api/v1/vm.remove-device", `{}`, 400, "Failed to deserialize JSON"},
	} {
		status, body := v.raw(x.method, x.path, x.body)
		var chain []string
		if x.first != "" {
			if err := json.Unmarshal([]byte(body), &chain); err != nil || len(chain) == 0 {
				t.Errorf("%s %s %s: body %q is no chain", x.method, x.path, x.body, body)
				continue
			}
		} else if body != "" {
			t.Errorf("%s %s %s: body %q, want none", x.method, x.path, x.body, body)
		}
		if status != x.status || x.first != "" && chain[0] != x.first {
			t.Errorf("%s %s %s: %d %q, want %d %q", x.method, x.path, x.body, status, body, x.status, x.first)
		}
	}
	// Unknown keys are ignored, and null is as good as nothing where a value is optional.
	status, body := v.raw("PUT", "/api/v1/vm.create", `{"payload":{"kernel":"/x","firmware":null},"unknown":{"a":1},"disks":[{"path":"/x","id":null,"serial":null}],"vsock":null,"console":{"mode":"Off"}}`)
	if status != 204 {
		t.Errorf("create with unknown keys and nulls: %d %s", status, body)
	}
	if _, body := v.raw("GET", "/api/v1/vm.info", ""); strings.Contains(body, "null") {
		t.Errorf("vm.info holds a null: %s", body)
	}
}

func testRefused(t *testing.T, s Server) {
	v := s.start(t)
	disk := v.disk("root", 1<<20)
	for _, x := range []struct {
		name   string
		change func(*ch.VmConfig)
		tail   []string
		is     func(error) bool
	}{
		{"no kernel", func(c *ch.VmConfig) { c.Payload = &ch.PayloadConfig{} },
			[]string{"Failed to validate config", "Payload configuration is not bootable", "No bootitem provided: neither firmware nor kernel"}, ch.IsConfigInvalid},
		{"long serial", func(c *ch.VmConfig) { c.Disks[0].Serial = new("123456789012345678901") },
			[]string{"Failed to validate config", "Block device serial length (21) exceeds maximum allowed length (20)"}, ch.IsConfigInvalid},
		{"queue size", func(c *ch.VmConfig) { c.Disks[0].QueueSize = new(uint16(3)) },
			[]string{"Failed to validate config", "Queue size must be a power of 2 no greater than 32768: 3"}, ch.IsConfigInvalid},
		{"queue count", func(c *ch.VmConfig) { c.Disks[0].NumQueues = new(2) },
			[]string{"Failed to validate config", "Queue count (2) must not exceed boot vCPUs (1)"}, ch.IsConfigInvalid},
		{"ids", func(c *ch.VmConfig) { c.Disks = append(c.Disks, c.Disks[0]) },
			[]string{"Failed to validate config", "Identifier root is not unique"}, ch.IsDuplicateID},
		{"reserved id", func(c *ch.VmConfig) { c.Disks[0].Id = new("__x") },
			[]string{"Failed to validate config", "Identifier __x is not invalid"}, ch.IsConfigInvalid},
		{"cid 0", func(c *ch.VmConfig) { c.Vsock.Cid = 0 }, []string{"Failed to validate config", "0 is a special VSOCK CID"}, ch.IsConfigInvalid},
		{"cid 2", func(c *ch.VmConfig) { c.Vsock.Cid = 2 }, []string{"Failed to validate config", "2 is a special VSOCK CID"}, ch.IsConfigInvalid},
		{"cid any", func(c *ch.VmConfig) { c.Vsock.Cid = 1<<32 - 1 }, []string{"Failed to validate config", "4294967295 is a special VSOCK CID"}, ch.IsConfigInvalid},
		{"vcpus", func(c *ch.VmConfig) { c.Cpus.BootVcpus = 2 },
			[]string{"Failed to validate config", "Max CPUs (1) lower than boot CPUs (2)"}, ch.IsConfigInvalid},
	} {
		t.Run(x.name, func(t *testing.T) {
			config := v.config(s.Guest, disk)
			x.change(&config)
			must(t, v.client.Create(t.Context(), config))
			err := v.client.Boot(t.Context())
			chainEnds(t, err, 500, x.tail...)
			if !x.is(err) {
				t.Errorf("not classified: %v", err)
			}
			if v.state() != ch.Created {
				t.Errorf("state %s after the failed boot", v.state())
			}
			must(t, v.client.Delete(t.Context()))
		})
	}
	// Every one of them leaves a VMM that boots.
	v.boot(v.config(s.Guest, disk))
	if v.state() != ch.Running {
		t.Errorf("state %s", v.state())
	}
}

func testFailedBoots(t *testing.T, s Server) {
	v := s.start(t)
	for _, x := range []struct {
		name   string
		change func(*ch.VmConfig)
		tail   []string
		is     func(error) bool
		built  bool // the VM object stays, so that a second boot is refused
	}{
		{"missing disk", func(c *ch.VmConfig) { c.Disks[0].Path = new("/nowhere") },
			[]string{"Error from device manager", "Cannot open disk path", "I/O error (path=/nowhere op=open)", "No such file or directory (os error 2)"}, ch.IsMissingFile, false},
		{"wrong type", func(c *ch.VmConfig) { c.Disks[0].ImageType = new(ch.ImageType("Qcow2")) },
			[]string{"Error from device manager", "Disk image type does not match expected type: specified = qcow2, detected = raw"}, func(error) bool { return true }, false},
		{"missing kernel", func(c *ch.VmConfig) { c.Payload.Kernel = new("/nowhere") },
			[]string{"Cannot open kernel file", "No such file or directory (os error 2)"}, ch.IsMissingFile, true},
		{"missing initramfs", func(c *ch.VmConfig) { c.Payload.Initramfs = new("/nowhere") },
			[]string{"Cannot open initramfs file", "No such file or directory (os error 2)"}, ch.IsMissingFile, false},
	} {
		t.Run(x.name, func(t *testing.T) {
			config := v.config(s.Guest, v.disk("root", 1<<20))
			x.change(&config)
			must(t, v.client.Create(t.Context(), config))
			err := v.client.Boot(t.Context())
			chainEnds(t, err, 500, x.tail...)
			if !x.is(err) {
				t.Errorf("not classified: %v", err)
			}
			info, infoErr := v.client.Info(t.Context())
			must(t, infoErr)
			if info.State != "Created" || (info.DeviceTree != nil) != x.built {
				t.Errorf("state %s, device tree %v; want it: %v", info.State, info.DeviceTree != nil, x.built)
			}
			if x.built && !ch.IsAlreadyCreated(v.client.Boot(t.Context())) {
				t.Error("a second boot is not refused")
			}
			must(t, v.client.Delete(t.Context()))
		})
	}
	v.boot(v.config(s.Guest, v.disk("root", 1<<20)))
	v.askUntil("1048576", "size root")
}

func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
