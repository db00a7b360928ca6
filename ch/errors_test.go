package ch_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"microagent/ch"
)

// scripted serves handler on a unix socket and gives a client of it.
func scripted(t *testing.T, handler http.HandlerFunc) *ch.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: handler}}
	server.Start()
	t.Cleanup(server.Close)
	client := ch.New(ch.Unix(path), ch.Timeouts{})
	t.Cleanup(client.Close)
	return client
}

func answer(w http.ResponseWriter, status int, chain ...string) {
	body, _ := json.Marshal(chain)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// TestClassesDoNotDependOnStatus has each refusal with the status of v53 and with that of later versions.
func TestClassesDoNotDependOnStatus(t *testing.T) {
	classes := map[string]func(error) bool{
		"not created": ch.IsNotCreated, "already created": ch.IsAlreadyCreated, "not running": ch.IsNotRunning,
		"transition": ch.IsInvalidTransition, "locked": ch.IsLocked, "unknown device": ch.IsUnknownDevice,
		"duplicate id": ch.IsDuplicateID, "config": ch.IsConfigInvalid, "missing file": ch.IsMissingFile,
		"address": ch.IsAddressInUse, "no slot": ch.IsNoFreeSlot, "busy": ch.IsBusyRemoving, "unsupported": ch.IsUnsupported,
	}
	for _, x := range []struct {
		statuses []int
		chain    []string
		want     string // the classes it is of, separated by commas
	}{
		{[]int{404, 500}, []string{"Error from API", "The VM info is not available", "VM is not created"}, "not created"},
		{[]int{404, 500}, []string{"Error from API", "The VM could not boot", "VM config is missing"}, "not created"},
		{[]int{500, 409}, []string{"Error from API", "The VM could not be created", "VM is already created"}, "already created"},
		{[]int{500}, []string{"Error from API", "The VM could not be paused", "VM is not running"}, "not running"},
		{[]int{500}, []string{"Error from API", "The VM could not resume", "Cannot resume VM", "Failed to resume migratable component", "Invalid transition: InvalidStateTransition(Running, Running)"}, "transition"},
		{[]int{500}, []string{"Error from API", "The VM could not boot", "Error locking disk images: Another instance likely holds a lock", "Cannot lock images of all block devices", "Failed to get Write lock for disk image: /x", "The file is already locked"}, "locked"},
		{[]int{500, 404}, []string{"Error from API", "The disk could not be resized", "Error from device manager", "Failed to find device corresponding to the given identifier: x"}, "unknown device"},
		{[]int{500, 404}, []string{"Error from API", "The device could not be removed from the VM", `No device with id "x" to remove`}, "unknown device"},
		{[]int{500, 409}, []string{"Error from API", "The VM could not boot", "Failed to validate config", "Identifier x is not unique"}, "duplicate id,config"},
		{[]int{500}, []string{"Error from API", "The disk could not be added to the VM", "Error from device manager", "Invalid identifier as it is not unique: x"}, "duplicate id"},
		{[]int{500, 400}, []string{"Error from API", "The VM could not boot", "Failed to validate config", "2 is a special VSOCK CID"}, "config"},
		{[]int{400}, []string{"Failed to deserialize JSON", "missing field `max_vcpus` at line 1 column 24"}, "config"},
		{[]int{500}, []string{"Error from API", "The VM could not boot", "Cannot open kernel file", "No such file or directory (os error 2)"}, "missing file"},
		{[]int{500}, []string{"Error from API", "The VM could not boot", "Error from device manager", "Cannot create virtio-vsock backend", "Error binding to the host-side Unix socket", "Address already in use (os error 98)"}, "address"},
		{[]int{500}, []string{"Error from API", "x", "Error from device manager", "Failed to find an available PCI device ID", "Could not find an available device slot on the PCI bus"}, "no slot"},
		{[]int{429}, []string{"Too Many Requests"}, "busy"},
		{[]int{500}, []string{"Error from API", "x", ch.Unsupported, "vm.snapshot"}, "unsupported"},
	} {
		for _, status := range x.statuses {
			client := scripted(t, func(w http.ResponseWriter, _ *http.Request) { answer(w, status, x.chain...) })
			err := client.Boot(t.Context())
			failure, ok := errors.AsType[*ch.Error](err)
			if !ok || failure.Status != status || failure.Endpoint != "vm.boot" || len(failure.Chain) != len(x.chain) {
				t.Errorf("%q: got %#v", x.chain, err)
			}
			want := map[string]bool{}
			for name := range strings.SplitSeq(x.want, ",") {
				want[name] = true
			}
			for name, is := range classes {
				if is(err) != want[name] {
					t.Errorf("%d %q: class %q is %v", status, x.chain, name, is(err))
				}
			}
		}
	}
}

func TestStateWithoutConfiguration(t *testing.T) {
	client := scripted(t, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 404, "Error from API", "The VM info is not available", "VM is not created")
	})
	if s, err := client.State(t.Context()); err != nil || s != ch.NotCreated {
		t.Errorf("%v, %v", s, err)
	}
}

// TestOddBodies has answers that are no chain: the connection they came on must not be used again.
func TestOddBodies(t *testing.T) {
	for _, body := range []string{"", "{ \"error\": \"Invalid request.\nAll previous unanswered requests will be dropped.\" }", `{"a":1}`} {
		client := scripted(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(400)
			_, _ = w.Write([]byte(body))
		})
		failure, ok := errors.AsType[*ch.Error](client.Create(t.Context(), ch.VmConfig{}))
		if !ok || failure.Chain != nil || failure.Body != body || !strings.Contains(failure.Error(), "vm.create: ") {
			t.Errorf("%q: %#v", body, failure)
		}
	}
}

// TestLostAnswer drops the connection after a change was read: it must not be sent again, and is settled by
// asking for the state.
func TestLostAnswer(t *testing.T) {
	for _, x := range []struct {
		state string
		done  bool
	}{{"Running", true}, {"Created", false}} {
		var boots atomic.Int32
		client := scripted(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "vm.boot") {
				boots.Add(1)
				panic(http.ErrAbortHandler)
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"config":{},"state":"` + x.state + `"}`))
		})
		err := client.Boot(t.Context())
		if x.done != (err == nil) || boots.Load() != 1 {
			t.Errorf("state %s: %v, sent %d times", x.state, err, boots.Load())
		}
		if unknown, ok := errors.AsType[*ch.UnknownOutcomeError](err); !x.done && (!ok || string(unknown.State) != x.state) {
			t.Errorf("state %s: %v", x.state, err)
		}
	}
}

func TestTimeoutIsUnknown(t *testing.T) {
	release := make(chan struct{})
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release })}}
	server.Start()
	defer server.Close()
	defer close(release)
	client := ch.New(ch.Unix(path), ch.Timeouts{Boot: 50 * time.Millisecond})
	_, ok := errors.AsType[*ch.UnknownOutcomeError](client.Boot(t.Context()))
	if err = client.Boot(t.Context()); !ok || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestRequestsAreNotChunked(t *testing.T) {
	client := scripted(t, func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength <= 0 || len(r.TransferEncoding) > 0 {
			t.Errorf("length %d, encoding %v", r.ContentLength, r.TransferEncoding)
		}
		w.WriteHeader(204)
	})
	if err := client.Create(t.Context(), ch.VmConfig{Disks: []ch.DiskConfig{{Id: new("a")}}}); err != nil {
		t.Error(err)
	}
	if info, err := client.AddDisk(t.Context(), ch.DiskConfig{Path: new("/x")}); err != nil || info != nil {
		t.Errorf("cold add: %v, %v", info, err)
	}
}

func TestShutdownTakesBothAnswers(t *testing.T) {
	for _, handler := range []http.HandlerFunc{
		func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200) },
		func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
		func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		if err := scripted(t, handler).ShutdownVMM(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestCountersHoldTheLargest(t *testing.T) {
	client := scripted(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"d":{"read_latency_min":18446744073709551615}}`))
	})
	counters, err := client.Counters(t.Context())
	if err != nil || counters["d"]["read_latency_min"] != 1<<64-1 {
		t.Errorf("%v, %v", counters, err)
	}
}

func TestWaitForAPIEndsWithTheProcess(t *testing.T) {
	client := ch.New(ch.Unix(filepath.Join(t.TempDir(), "none")), ch.Timeouts{})
	exited := make(chan struct{})
	close(exited)
	if _, err := client.WaitForAPI(t.Context(), exited); !errors.Is(err, ch.ErrExited) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := client.WaitForAPI(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestVersions(t *testing.T) {
	for text, want := range map[string]ch.Version{
		"v53.0": {Major: 53}, "53.0.0": {Major: 53}, "cloud-hypervisor v53.0-dirty": {Major: 53},
		"v53.1-qemu-7.2.22": {Major: 53, Minor: 1}, "v51.2.3": {Major: 51, Minor: 2, Patch: 3},
	} {
		if got, err := ch.ParseVersion(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "v", "x53", "v5x", "v99999999999"} {
		if got, err := ch.ParseVersion(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
	if note, err := ch.CheckVersion(ch.Version{Major: 53}); note != "" || err != nil {
		t.Errorf("53: %q, %v", note, err)
	}
	if note, err := ch.CheckVersion(ch.Version{Major: 54}); note == "" || err != nil {
		t.Errorf("54: %q, %v", note, err)
	}
	if _, err := ch.CheckVersion(ch.Version{Major: 52, Minor: 9}); !errors.Is(err, ch.ErrTooOld) || !strings.Contains(err.Error(), "half-closed") {
		t.Errorf("52: %v", err)
	}
}
