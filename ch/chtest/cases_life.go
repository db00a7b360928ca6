package chtest

import (
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"microagent/ch"
)

func (v *vmm) storyIs(want ...string) {
	v.t.Helper()
	if got := v.story(); !slices.Equal(got, want) {
		v.t.Errorf("events: %v, want %v", got, want)
	}
}

// testLife boots, stops, boots again and reboots one VM, each time asking the guest which boot it is.
func testLife(t *testing.T, s Server) {
	v := s.start(t)
	disk := v.disk("root", 1<<20)
	disk.Id = nil
	v.boot(v.config(s.Guest, disk))
	info, err := v.client.Info(t.Context())
	must(t, err)
	id := deref(info.Config.Disks[0].Id)
	if info.State != "Running" || id == "" || deref(info.Config.Vsock.Id) == "" || info.DeviceTree[id].Id != id {
		t.Errorf("info of a running VM: %+v", info)
	}
	counters, err := v.client.Counters(t.Context())
	must(t, err)
	if _, ok := counters[id]["read_ops"]; !ok || counters[id]["write_latency_min"] != 1<<64-1 {
		t.Errorf("counters: %v", counters)
	}
	if err := v.client.Boot(t.Context()); !ch.IsAlreadyCreated(err) {
		t.Errorf("second boot: %v", err)
	}
	chainEnds(t, v.client.Resume(t.Context()), 500, "Cannot resume VM", "Failed to resume migratable component", "Invalid transition: InvalidStateTransition(Running, Running)")
	chainEnds(t, v.client.ResizeDisk(t.Context(), "none", 512), 500, "Failed to find device corresponding to the given identifier: none")
	must(t, v.client.PowerButton(t.Context()))
	first := v.ask("boot-id")
	must(t, v.client.Shutdown(t.Context()))
	if v.state() != ch.Created {
		t.Errorf("state %s after shutdown", v.state())
	}
	if _, err := os.Stat(v.path("vsock")); !os.IsNotExist(err) {
		t.Errorf("vsock socket after shutdown: %v", err)
	}
	must(t, v.client.Boot(t.Context()))
	second := v.ask("boot-id")
	must(t, v.client.Reboot(t.Context()))
	third := v.ask("boot-id")
	if first == "" || first == second || second == third {
		t.Errorf("boots %q, %q, %q", first, second, third)
	}
	must(t, v.client.Delete(t.Context()))
	must(t, v.client.Delete(t.Context()))
	if v.state() != ch.NotCreated {
		t.Errorf("state %s after delete", v.state())
	}
	v.await("vm", "deleted", 1)
	var got []string
	for _, name := range v.story() {
		if name != "vm/resuming" { // the refused resume may leave one
			got = append(got, name)
		}
	}
	want := []string{"vmm/starting", "vm/booting", "vm/booted", "vm/shutdown", "vm/booting", "vm/booted", "vm/rebooting", "vm/rebooted", "vm/shutdown", "vm/deleted"}
	if !slices.Equal(got, want) {
		t.Errorf("events: %v, want %v", got, want)
	}
}

func testPause(t *testing.T, s Server) {
	v := s.start(t)
	v.boot(v.config(s.Guest))
	boot := v.ask("boot-id")
	must(t, v.client.Pause(t.Context()))
	if v.state() != ch.Paused {
		t.Errorf("state %s", v.state())
	}
	chainEnds(t, v.client.Pause(t.Context()), 500, "Cannot pause VM", "Failed to pause migratable component", "Invalid transition: InvalidStateTransition(Paused, Paused)")
	must(t, v.client.Resume(t.Context()))
	if again := v.ask("boot-id"); again != boot || v.state() != ch.Running {
		t.Errorf("after resume: boot %q, was %q, state %s", again, boot, v.state())
	}
	v.await("vm", "resumed", 1)
	story := strings.Join(v.story(), " ")
	if !strings.Contains(story, "vm/pausing vm/paused") || !strings.Contains(story, "vm/resuming vm/resumed") {
		t.Errorf("events: %s", story)
	}
}

func testPoweroff(t *testing.T, s Server) {
	v := s.start(t)
	v.boot(v.config(s.Guest))
	v.ask("poweroff")
	if code := v.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	v.await("vmm", "shutdown", 1)
	v.storyIs("vmm/starting", "vm/booting", "vm/booted", "vm/shutdown", "vm/deleted", "vmm/shutdown")
	v.socketsGone()
}

func (v *vmm) socketsGone() {
	v.t.Helper()
	for _, name := range []string{"api.sock", "vsock"} {
		if _, err := os.Stat(v.path(name)); !os.IsNotExist(err) {
			v.t.Errorf("%s is still there: %v", name, err)
		}
	}
}

func testNoShutdown(t *testing.T, s Server) {
	v := s.start(t, "--no-shutdown")
	v.boot(v.config(s.Guest))
	v.ask("poweroff")
	v.await("vm", "shutdown", 1)
	if v.state() != ch.Created {
		t.Errorf("state %s", v.state())
	}
	v.storyIs("vmm/starting", "vm/booting", "vm/booted", "vm/shutdown")
	must(t, v.client.Boot(t.Context()))
	if v.ask("boot-id") == "" {
		t.Error("no guest after the second boot")
	}
}

func testGuestReboot(t *testing.T, s Server) {
	v := s.start(t)
	v.boot(v.config(s.Guest))
	first := v.ask("boot-id")
	held := v.dial(guestPort) // a connection from before
	defer held.Close()
	v.ask("reboot")
	v.await("vm", "rebooted", 1)
	second := v.ask("boot-id")
	if first == "" || second == "" || first == second {
		t.Errorf("boots %q, %q", first, second)
	}
	if n, err := held.Read(make([]byte, 1)); err == nil {
		t.Errorf("a connection of the first boot still gives %d bytes", n)
	}
	if v.state() != ch.Running {
		t.Errorf("state %s", v.state())
	}
	v.storyIs("vmm/starting", "vm/booting", "vm/booted", "vm/rebooting", "vm/rebooted")
}

func testPanic(t *testing.T, s Server) {
	v := s.start(t)
	config := v.config(s.Guest)
	config.Pvpanic = new(true)
	v.boot(config)
	first := v.ask("boot-id")
	v.ask("panic")
	if e := v.await("guest", "panic", 1); e.Properties["event"] != "panic" {
		t.Errorf("panic event: %+v", e)
	}
	v.await("vm", "rebooted", 1) // the kernel was told panic=-1
	if second := v.ask("boot-id"); second == "" || second == first {
		t.Errorf("boots %q, %q", first, second)
	}
	v.storyIs("vmm/starting", "vm/booting", "vm/booted", "guest/panic", "vm/rebooting", "vm/rebooted")
}

func testSignals(t *testing.T, s Server) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			v := s.start(t)
			v.boot(v.config(s.Guest))
			must(t, v.cmd.Process.Signal(signal))
			if code := v.wait(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			v.await("vmm", "shutdown", 1)
			v.storyIs("vmm/starting", "vm/booting", "vm/booted", "vm/shutdown", "vm/deleted", "vmm/shutdown")
			v.socketsGone()
		})
	}
}

// testKilled leaves stale sockets behind and starts anew among them.
func testKilled(t *testing.T, s Server) {
	v := s.start(t)
	disk := v.disk("root", 1<<20)
	v.boot(v.config(s.Guest, disk))
	second := s.Command("--api-socket", "path="+v.path("api.sock"))
	if out, err := second.CombinedOutput(); second.ProcessState == nil || second.ProcessState.ExitCode() != 1 {
		t.Errorf("a second instance on the same socket: %v: %s", err, out)
	}
	must(t, v.cmd.Process.Kill())
	<-v.exited
	again := s.startIn(t, v.dir)
	config := again.config(s.Guest, disk)
	must(t, again.client.Create(t.Context(), config))
	err := again.client.Boot(t.Context())
	chainEnds(t, err, 500, "Error from device manager", "Cannot create virtio-vsock backend", "Error binding to the host-side Unix socket", "Address already in use (os error 98)")
	if !ch.IsAddressInUse(err) {
		t.Errorf("not classified: %v", err)
	}
	must(t, again.client.Delete(t.Context()))
	must(t, os.Remove(v.path("vsock")))
	again.boot(config) // the lock on the disk went with the process
	again.askUntil("1048576", "size root")
}

// testSerialSocket reads the guest's console from a socket, late.
func testSerialSocket(t *testing.T, s Server) {
	v := s.start(t)
	config := v.config(s.Guest)
	config.Serial = &ch.SerialConfig{Mode: ch.ConsoleSocket, Socket: new(v.path("serial"))}
	v.boot(config)
	v.ask("boot-id")
	dial := func() net.Conn {
		conn, err := net.Dial("unix", v.path("serial"))
		must(t, err)
		must(t, conn.SetReadDeadline(time.Now().Add(patience)))
		return conn
	}
	first := dial()
	defer first.Close()
	text := ""
	for b := make([]byte, 4096); !strings.Contains(text, "guest is up"); {
		n, err := first.Read(b)
		text += string(b[:n])
		if err != nil {
			t.Fatalf("console ended with %v after %q", err, text)
		}
	}
	second := dial() // takes the first one's place
	defer second.Close()
	if _, err := io.Copy(io.Discard, first); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the first client is not displaced")
	}
	must(t, v.client.Delete(t.Context()))
	if _, err := os.Stat(v.path("serial")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("serial socket after delete: %v", err)
	}
}
