package target

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/build"
	"microagent/runtime/disk/ext4/super"
	"microagent/runtime/driver"
	"microagent/runtime/lease"
)

// garbage is what a device held before. Nothing of it may show in a disk that is made there.
const garbage = 0xA5

// loop is a block device of size bytes, full of garbage but for its edges when dirty.
func loop(t *testing.T, size int64, dirty bool) string {
	t.Helper()
	backing := filepath.Join(t.TempDir(), "backing")
	data := bytes.Repeat([]byte{garbage}, int(size))
	if dirty {
		clear(data[:edge])
		clear(data[size-edge:])
	} else {
		clear(data)
	}
	if err := os.WriteFile(backing, data, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", "-f", "--show", backing).CombinedOutput()
	if err != nil {
		t.Skipf("no loop device to be had: %v: %s", err, out)
	}
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "-d", device).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	return device
}

const diskSize = 64 << 20

func fill(t *testing.T, d Draft) {
	t.Helper()
	b, err := build.New(d, build.Options{Size: diskSize, Journal: true, Label: "data", UUID: [16]byte{1}, HashSeed: [16]byte{2}, Time: time.Unix(1e9, 0)})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	body := bytes.Repeat([]byte("content "), 1<<18)
	for range 2 { // the second takes the first's place, whose blocks are given back
		if err := b.File("dir/file", ext4.Attr{Mode: 0o644}, int64(len(body)), bytes.NewReader(body)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Finish(); err != nil {
		t.Fatal(err)
	}
}

func superblock(t *testing.T, path string) (super.Superblock, error) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return super.Read(f)
}

func fsck(t *testing.T, path string) {
	t.Helper()
	if out, err := exec.Command("e2fsck", "-fn", path).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// TestDrafts: on whatever it lies, a disk is the same, appears whole, and takes nothing's place.
func TestDrafts(t *testing.T) {
	for name, path := range map[string]func(*testing.T) string{
		"file":         func(t *testing.T) string { return filepath.Join(t.TempDir(), "disk") },
		"blank device": func(t *testing.T) string { return loop(t, diskSize, false) },
		"used device":  func(t *testing.T) string { return loop(t, diskSize+4<<20, true) },
	} {
		t.Run(name, func(t *testing.T) {
			path := path(t)
			for _, publish := range []bool{false, true} {
				d, err := At(path).Draft(0o600)
				if err != nil {
					t.Fatal(err)
				}
				fill(t, d)
				if _, err := os.Stat(path); err == nil {
					if _, err := superblock(t, path); !errors.Is(err, super.ErrNone) {
						t.Errorf("a draft looks like a file system: %v", err)
					}
				}
				if publish {
					if err := d.Publish(); err != nil {
						t.Fatal(err)
					}
				}
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
			}
			fsck(t, path)
			if sb, err := superblock(t, path); err != nil || sb.Name() != "data" {
				t.Errorf("%q, %v", sb.Name(), err)
			}
			if _, err := At(path).Draft(0o600); !errors.Is(err, driver.ErrExists) {
				t.Errorf("over a disk: %v", err)
			}
			file := filepath.Join(t.TempDir(), "same")
			d, err := File(file).Draft(0o600)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			fill(t, d)
			if err := d.Publish(); err != nil {
				t.Fatal(err)
			}
			want, err1 := os.ReadFile(file)
			got, err2 := os.ReadFile(path)
			if err := errors.Join(err1, err2); err != nil || len(got) < len(want) {
				t.Fatalf("%d bytes of %d, %v", len(got), len(want), err)
			}
			if !bytes.Equal(got[:len(want)], want) { // what a loop device discards reads as zeros
				t.Error("it is another disk than in a file")
			}
		})
	}
}

// TestDeviceIsLookedAt: what anybody else put on a device stays.
func TestDeviceIsLookedAt(t *testing.T) {
	device := loop(t, 8<<20, false)
	write := func(at int64, data string) {
		t.Helper()
		f, err := os.OpenFile(device, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt([]byte(data), at); err != nil {
			t.Fatal(err)
		}
	}
	for _, at := range []int64{0, 512, 4096, 32769, 65600, 8<<20 - 4096, 8<<20 - 512<<10} {
		write(at, "LABEL")
		if _, err := At(device).Draft(0); !errors.Is(err, driver.ErrRefused) || !strings.Contains(driver.Next(err), device) {
			t.Errorf("a mark at %d: %v", at, err)
		}
		write(at, "\x00\x00\x00\x00\x00")
	}
	d, err := At(device).Draft(0)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Truncate(8<<20 + 1); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("longer than the device: %v", err)
	}
	if _, err := d.WriteAt([]byte("xx"), 8<<20-1); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("behind its end: %v", err)
	}
	if _, err := At(device).Draft(0); !errors.Is(err, driver.ErrBusy) {
		t.Errorf("two drafts: %v", err)
	}
}

func TestSizeAndGrow(t *testing.T) {
	file := filepath.Join(t.TempDir(), "disk")
	if _, err := At(file).Claim(lease.Shared); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of nothing: %v", err)
	}
	if err := os.WriteFile(file, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	device := loop(t, 8<<20, false)
	for _, c := range []struct {
		path string
		size int64
		grow error
	}{{file, 1 << 20, nil}, {device, 8 << 20, driver.ErrUnsupported}} {
		claim, err := At(c.path).Claim(lease.Exclusive)
		if err != nil {
			t.Fatal(err)
		}
		if err := claim.Grow(c.size - 1); err != nil { // it is longer already
			t.Error(err)
		}
		if n, err := claim.Size(); n != c.size || err != nil {
			t.Errorf("%s has %d bytes, %v", c.path, n, err)
		}
		if err := claim.Grow(c.size + 4096); !errors.Is(err, c.grow) {
			t.Errorf("grow %s: %v", c.path, err)
		}
		if n, err := claim.Size(); err != nil || (n == c.size+4096) != (c.grow == nil) {
			t.Errorf("%s has %d bytes after it grew, %v", c.path, n, err)
		}
		claim.Close()
	}
}
