package transfer

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/build"
	"microagent/runtime/driver"
	"microagent/runtime/lease"
)

var old = time.Date(2021, 2, 3, 4, 5, 6, 789, time.UTC)

// image makes a disk with what fill puts onto it.
func image(t testing.TB, size int64, fill func(b *build.Builder) error) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.ext4")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := build.New(f, build.Options{Size: size, Journal: true, Time: old, UUID: [16]byte{1}, HashSeed: [16]byte{2}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if fill != nil {
		if err := fill(b); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Finish(); err != nil {
		t.Fatal(err)
	}
	return path
}

func attr(mode uint32) ext4.Attr { return ext4.Attr{Mode: mode, UID: 5, GID: 70000, Mtime: old} }

func put(b *build.Builder, name string, mode uint32, data string) error {
	return b.File(name, attr(mode), int64(len(data)), strings.NewReader(data))
}

func guest(image, path string) driver.GuestEnd {
	return driver.GuestEnd{Workspace: "scratch", Image: image, Disk: "scratch", Path: path}
}

func out(image, from, to string, recursive bool) (driver.Copied, error) {
	return Offline{}.CopyOut(context.Background(), driver.CopySpec{
		Guest: guest(image, from), Host: driver.HostEnd{Path: to}, Recursive: recursive,
	})
}

func sample(t testing.TB) string {
	return image(t, 64<<20, func(b *build.Builder) error {
		return errors.Join(
			put(b, "etc/app.conf", 0o640, "config-v1\n"),
			put(b, "bin/tool", 0o4755, "#!"),
			put(b, "a b\n\"'ü", 0o600, "odd"),
			b.Symlink("link", "etc/app.conf", attr(0o777)),
			b.Symlink("etc/up", "../../../../etc/app.conf", attr(0o777)),
			b.Symlink("loop", "loop", attr(0o777)),
			b.Symlink("host", "/etc/passwd", attr(0o777)),
			b.Mkdir("tree", attr(0o750)),
			put(b, "tree/one", 0o644, "1"),
			b.Link("tree/same", "tree/one"),
			b.Symlink("tree/inner", "one", attr(0o777)),
			b.Symlink("tree/outer", "../etc/app.conf", attr(0o777)),
			b.Symlink("tree/absolute", "/etc/passwd", attr(0o777)),
			b.Device("tree/dev", ext4.ModeChar, 1, 3, attr(0o600)),
			b.Mkdir("work", attr(0o755)),
			b.Symlink("data", "/work/x", attr(0o777)),
		)
	})
}

func TestOutFile(t *testing.T) {
	disk, dir := sample(t), t.TempDir()
	for _, c := range []struct{ from, to, name, data string }{
		{"/etc/app.conf", dir + "/new", "new", "config-v1\n"},
		{"/etc/app.conf", dir, "app.conf", "config-v1\n"},
		{"/etc/app.conf", dir + "/", "app.conf", "config-v1\n"},
		{"/link", dir + "/through", "through", "config-v1\n"},
		{"/link", dir, "link", "config-v1\n"},
		{"/etc/up", dir + "/up", "up", "config-v1\n"},
		{"/a b\n\"'ü", dir, "a b\n\"'ü", "odd"},
		{"/bin/tool", dir + "/new", "new", "#!"},
	} {
		got, err := out(disk, c.from, c.to, false)
		if err != nil {
			t.Errorf("%s to %s: %v", c.from, c.to, err)
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, c.name))
		if err != nil || string(data) != c.data || got.Bytes != int64(len(data)) || got.Files != 1 || got.To != filepath.Join(dir, c.name) {
			t.Errorf("%s to %s: %q, %v, %+v", c.from, c.to, data, err, got)
		}
	}
	st, err := os.Stat(filepath.Join(dir, "app.conf"))
	if err != nil || st.Mode() != 0o640 || !st.ModTime().Equal(old) {
		t.Errorf("mode and time: %v %v, %v", st.Mode(), st.ModTime(), err)
	}
	if st, err := os.Stat(filepath.Join(dir, "new")); err != nil || st.Mode() != 0o755 {
		t.Errorf("setuid on the host: %v, %v", st.Mode(), err)
	}
	if left, _ := filepath.Glob(dir + "/.microagent-*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestOutThroughHostsLink(t *testing.T) {
	disk, dir := sample(t), t.TempDir()
	if err := errors.Join(os.WriteFile(dir+"/real", nil, 0o644), os.Symlink("real", dir+"/to")); err != nil {
		t.Fatal(err)
	}
	if _, err := out(disk, "/etc/app.conf", dir+"/to", false); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(dir + "/real"); err != nil || string(data) != "config-v1\n" {
		t.Errorf("%q, %v", data, err)
	}
	if st, err := os.Lstat(dir + "/to"); err != nil || st.Mode().Type() != os.ModeSymlink {
		t.Errorf("the link is gone: %v", err)
	}
}

func TestOutStream(t *testing.T) {
	var b bytes.Buffer
	_, err := Offline{}.CopyOut(t.Context(), driver.CopySpec{Guest: guest(sample(t), "/etc/app.conf"), Host: driver.HostEnd{Writer: &b}})
	if err != nil || b.String() != "config-v1\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
}

func TestOutTree(t *testing.T) {
	disk, dir := sample(t), t.TempDir()
	got, err := out(disk, "/tree", dir, true)
	if err != nil {
		t.Fatal(err)
	}
	if got.LeftOut.Count != 3 || got.Files != 2 {
		t.Errorf("%+v", got)
	}
	for name, want := range map[string]os.FileMode{"tree": os.ModeDir | 0o750, "tree/one": 0o644, "tree/same": 0o644, "tree/inner": os.ModeSymlink | 0o777} {
		st, err := os.Lstat(filepath.Join(dir, name))
		if err != nil || st.Mode() != want {
			t.Errorf("%s: %v, %v", name, st, err)
		}
	}
	a, _ := os.Stat(dir + "/tree/one")
	b, _ := os.Stat(dir + "/tree/same")
	if !os.SameFile(a, b) {
		t.Error("the hard link became two files")
	}
	if st, err := os.Stat(dir + "/tree"); err != nil || !st.ModTime().Equal(old) {
		t.Errorf("time of the directory: %v, %v", st.ModTime(), err)
	}
	// A second time it is merged, and what else is there stays.
	if err := os.WriteFile(dir+"/tree/mine", []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := out(disk, "/tree/.", dir+"/tree", true); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir + "/tree/mine"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir + "/tree/tree"); err == nil {
		t.Error("the tree's content came with the tree")
	}
	if _, err := out(disk, "/tree", dir+"/other", true); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir + "/other/one"); err != nil {
		t.Error(err)
	}
}

func TestOutErrors(t *testing.T) {
	disk, dir := sample(t), t.TempDir()
	if err := errors.Join(os.WriteFile(dir+"/file", nil, 0o644), os.MkdirAll(dir+"/in/app.conf", 0o755),
		os.Symlink("nowhere", dir+"/dangling"), syscall.Mkfifo(dir+"/pipe", 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		from, to  string
		recursive bool
		class     error
		text      string
	}{
		{"/etc", dir, false, driver.ErrInvalid, "copy from scratch:/etc: it is a directory"},
		{"/etc/none", dir, false, driver.ErrNotFound, "copy from scratch:/etc/none: there is no such file on the disk"},
		{"/etc/app.conf/", dir, false, driver.ErrInvalid, "copy from scratch:/etc/app.conf/: it is no directory"},
		{"/etc/app.conf/x", dir, false, driver.ErrInvalid, "/etc/app.conf is not a directory"},
		{"/loop", dir, false, driver.ErrInvalid, "too many symlinks"},
		{"/host", dir, false, driver.ErrNotFound, "there is no such file on the disk"},
		{"/tree/dev", dir, false, driver.ErrInvalid, "it is a device; only regular files and directories are copied"},
		{"/etc/app.conf", dir + "/no/such/file", false, driver.ErrNotFound, "there is no directory " + dir + "/no/such"},
		{"/etc/app.conf", dir + "/no/", false, driver.ErrNotFound, "there is no such directory"},
		{"/etc/app.conf", dir + "/file/", false, driver.ErrInvalid, "it is no directory"},
		{"/etc/app.conf", dir + "/file/x", false, driver.ErrInvalid, "it is no directory"},
		{"/etc/app.conf", dir + "/pipe", false, driver.ErrInvalid, "it is a pipe"},
		{"/etc/app.conf", dir + "/dangling", false, driver.ErrInvalid, "it is a symlink that leads nowhere"},
		{"/etc/app.conf", dir + "/in", false, driver.ErrInvalid, "a directory is there under this name"},
		{"/tree", dir + "/file", true, driver.ErrInvalid, "it is a file, and a directory can't take its place"},
		{"/data", dir, false, driver.ErrInvalid, "it leads to /work/x, where the guest mounts another disk"},
	} {
		end := guest(disk, c.from)
		end.Covered = []string{"/work"}
		_, err := Offline{}.CopyOut(t.Context(), driver.CopySpec{Guest: end, Host: driver.HostEnd{Path: c.to}, Recursive: c.recursive})
		if !errors.Is(err, c.class) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s to %s: %v", c.from, c.to, err)
		}
	}
}

func TestOutWhileHeld(t *testing.T) {
	disk := sample(t)
	l, err := lease.Acquire(disk, lease.Exclusive)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = out(disk, "/etc/app.conf", t.TempDir(), false)
	if !errors.Is(err, driver.ErrBusy) || !strings.Contains(err.Error(), "pid ") {
		t.Errorf("%v", err)
	}
}

// TestOutKeepsHoles has a file with data at both ends.
func TestOutKeepsHoles(t *testing.T) {
	const size = 200 << 20
	src := filepath.Join(t.TempDir(), "sparse")
	f, err := os.Create(src)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := errors.Join(f.Truncate(size), at(f, 0, "begin"), at(f, size-3, "end")); err != nil {
		t.Fatal(err)
	}
	disk := image(t, 64<<20, func(b *build.Builder) error { return b.File("sparse", attr(0o600), size, f) })
	to := filepath.Join(t.TempDir(), "to")
	if _, err := out(disk, "/sparse", to, false); err != nil {
		t.Fatal(err)
	}
	var st syscall.Stat_t
	if err := syscall.Stat(to, &st); err != nil || st.Size != size || st.Blocks > 64 {
		t.Errorf("%d bytes in %d sectors, %v", st.Size, st.Blocks, err)
	}
	got, err := os.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	b := make([]byte, 3)
	if _, err := got.ReadAt(b, size-3); err != nil || string(b) != "end" {
		t.Errorf("%q, %v", b, err)
	}
}

func at(f *os.File, off int64, s string) error {
	_, err := f.WriteAt([]byte(s), off)
	return err
}
