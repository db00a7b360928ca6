package machine

import (
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"microagent/ch"
)

// TestLinkOfTheLeasedFile: what is plugged in is what the lease is on, also where its path has led elsewhere since.
func TestLinkOfTheLeasedFile(t *testing.T) {
	dir := t.TempDir()
	path, name := filepath.Join(dir, "disk"), filepath.Join(dir, "link")
	for _, file := range []string{path, name} {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	lease, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Close()
	want, err := lease.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".moved"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (&VM{}).link(lease, path, name); err != nil {
		t.Fatal(err)
	}
	if got, err := os.Stat(name); err != nil || !os.SameFile(got, want) {
		t.Errorf("it is another file than the leased one: %v", err)
	}
}

// TestUnplugOfASlowGuest: a guest that lets go of a disk after nobody waits any more is not asked in vain when that is asked again.
func TestUnplugOfASlowGuest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "api")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError) // as the adapter answers who asks twice
	})}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(l) }()
	defer func() { server.Close(); <-served }()
	vm := &VM{
		spec: Spec{Name: "one", Folder: t.TempDir()}, client: ch.New(ch.Unix(path), ch.Timeouts{}),
		process: &process{exited: make(chan struct{})},
	}
	defer vm.client.Close()

	vm.removals.ask("m00")
	vm.takeRemoval(ch.Event{Source: "vm", Name: "device-removed", Properties: map[string]string{"id": "m00"}})
	if err := vm.Unplug(t.Context(), "m00"); err != nil {
		t.Error(err)
	}
	var refused *ch.Error
	if err := vm.Unplug(t.Context(), "m01"); !errors.As(err, &refused) {
		t.Errorf("a disk that is not there: %v", err)
	}
}
