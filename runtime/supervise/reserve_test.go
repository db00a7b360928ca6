package supervise

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/supervise/attach"
	"microagent/runtime/supervise/control"
)

// TestEndIsWrittenOnAFullDisk fills a small file system after the start of a run: its end can still be written.
func TestEndIsWrittenOnAFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root for a small file system")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	s := &supervisor{folder: layout.Workspace{Dir: dir}}
	var err error
	if s.room, err = attach.NewReserve(dir); err != nil {
		t.Fatal(err)
	}
	if err := s.change(func(r *driver.Run) { r.Phase = driver.PhaseRunning }); err != nil {
		t.Fatal(err)
	}
	full := make([]byte, 2<<20)
	if err := os.WriteFile(filepath.Join(dir, "full"), full, 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the file system is not full: %v", err)
	}
	if _, err := attach.NewReserve(dir); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("room was reserved on a full disk: %v", err)
	}
	if err := s.change(func(r *driver.Run) { r.Phase = driver.PhaseFinished }); err != nil {
		t.Error(err)
	}
	run, err := control.ReadRun(s.folder)
	if err != nil || run == nil || run.Phase != driver.PhaseFinished {
		t.Errorf("%+v, %v", run, err)
	}
}
