package transfer

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"microagent/runtime/driver"
)

// ext4 has times to 2446; an int64 of nanoseconds ends in 2262.
func TestTimesOfAnyYear(t *testing.T) {
	for _, when := range []time.Time{
		time.Date(1902, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(2262, 6, 1, 0, 0, 0, 5, time.UTC), time.Date(2446, 5, 1, 0, 0, 0, 0, time.UTC),
	} {
		disk, from, to := image(t, 64<<20, nil), filepath.Join(t.TempDir(), "tree"), filepath.Join(t.TempDir(), "back")
		if err := os.Mkdir(from, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(from+"/f", []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{from + "/f", from} {
			// touch, since os.Chtimes ends in 2262 as well.
			if said, err := exec.Command("touch", "-d", when.Format(time.RFC3339Nano), name).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, said)
			}
			if st, err := os.Stat(name); err != nil || !st.ModTime().Equal(when) {
				t.Fatalf("the host's file system has no %v: %v", when, err)
			}
		}
		if _, err := (Offline{}).CopyIn(t.Context(), driver.CopySpec{Guest: guest(disk, "/tree"), Host: driver.HostEnd{Path: from}, Recursive: true}); err != nil {
			t.Fatal(err)
		}
		if _, err := out(disk, "/tree", to, true); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{to + "/f", to} {
			if st, err := os.Stat(name); err != nil || !st.ModTime().Equal(when) {
				t.Errorf("%s: %v instead of %v, %v", name, st.ModTime(), when, err)
			}
		}
	}
}

// Whole disks that the reader does not know are not called corrupt, nor is e2fsck advised on what is no ext4.
func TestWhatIsNotKnownIsNotCorrupt(t *testing.T) {
	inline := filepath.Join(t.TempDir(), "inline")
	for _, args := range [][]string{
		{"mke2fs", "-q", "-t", "ext4", "-b", "4096", "-O", "inline_data", inline, "16M"},
		{"debugfs", "-w", "-R", "mkdir sub", inline},
	} {
		if said, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, said)
		}
	}
	foreign := filepath.Join(t.TempDir(), "disk.qcow2")
	if err := os.WriteFile(foreign, append([]byte("QFI\xfb\x00\x00\x00\x03"), make([]byte, 1<<20)...), 0o600); err != nil {
		t.Fatal(err)
	}
	short := filepath.Join(t.TempDir(), "short")
	if err := os.WriteFile(short, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := hostFileOf(t, "f", "x", 0o600)
	for _, c := range []struct {
		disk, path string
		class      error
		text       string
	}{
		{inline, "/sub", driver.ErrUnsupported, "holds its data itself"},
		{foreign, "/", driver.ErrInvalid, "no ext4 file system"},
		{short, "/", driver.ErrInvalid, "no ext4 file system"},
	} {
		_, outErr := out(c.disk, c.path, t.TempDir(), true)
		_, inErr := Offline{}.CopyIn(t.Context(), driver.CopySpec{Guest: guest(c.disk, c.path+"/f"), Host: driver.HostEnd{Path: file}})
		for _, err := range []error{outErr, inErr} {
			if !errors.Is(err, c.class) || errors.Is(err, driver.ErrCorrupt) || !strings.Contains(err.Error(), c.text) ||
				strings.Contains(driver.Next(err), "e2fsck") || driver.Next(err) == "" || c.class == driver.ErrUnsupported && driver.Next(err) != "copy while it runs: microagent start scratch" {
				t.Errorf("%s: %v; next: %s", filepath.Base(c.disk), err, driver.Next(err))
			}
		}
	}
}
