package attach

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"microagent/runtime/disk/target"
	"microagent/runtime/driver"
	"microagent/runtime/lease"
)

// A disk that a link leads to elsewhere by the time it is attached is not the one that was judged.
func TestADiskIsTheFileItWasPlannedWith(t *testing.T) {
	dir := t.TempDir()
	disk, other := filepath.Join(dir, "disk"), filepath.Join(dir, "other")
	for _, path := range []string{disk, other} {
		if err := os.WriteFile(path, make([]byte, 4096), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(disk)
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	mount := driver.Mount{Kind: driver.MountDisk, Name: "d", Source: disk, DiskID: fmt.Sprintf("%d:%d", st.Dev+1, st.Ino)}
	check := func() error {
		l, err := target.At(disk).Claim(lease.Shared)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return checkDisk(mount, l)
	}
	if err := check(); err != nil {
		t.Errorf("the same file: %v", err)
	}
	if err := errors.Join(os.Remove(disk), os.Symlink("other", disk)); err != nil {
		t.Fatal(err)
	}
	if err := check(); !errors.Is(err, driver.ErrStale) || driver.Next(err) == "" {
		t.Errorf("another file: %v", err)
	}
	mount.DiskID = "" // of an older record, or typed by the user
	if err := check(); err != nil {
		t.Errorf("no identity: %v", err)
	}
}
