package qemu

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestHanded: a file that is handed over is the one that its path opens, with the lease that it carries, in the place of one that was
// handed before; nothing of it is left once it is dropped.
func TestHanded(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	path := filepath.Join(t.TempDir(), "disk")
	hand := func(content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		name, _ := json.Marshal(path)
		if err := unix.Sendmsg(fds[0], name, unix.UnixRights(int(f.Fd())), nil, 0); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(path); err != nil { // the path alone opens nothing
			t.Fatal(err)
		}
	}
	o, h := opened{}, handed(fds[1])
	if err := h.take(o); err != nil || len(o) != 0 {
		t.Fatalf("nothing was handed over: %v, %v", o, err)
	}
	for _, content := range []string{"first", "second"} {
		hand(content)
		if err := h.take(o); err != nil {
			t.Fatal(err)
		}
		f, err := o.open(path, os.O_RDONLY)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(content))
		if _, err := f.ReadAt(got, 0); err != nil || string(got) != content {
			t.Errorf("%q, %v instead of %q", got, err, content)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	last := o[path]
	if err := o.drop(path); err != nil {
		t.Fatal(err)
	}
	if len(o) != 0 || last.Close() == nil {
		t.Errorf("left: %v", o)
	}
	if err := handed(-1).take(o); err != nil {
		t.Errorf("without a socket: %v", err)
	}
}
