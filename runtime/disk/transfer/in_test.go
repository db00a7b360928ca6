package transfer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/read"
	"microagent/runtime/driver"
	"microagent/runtime/lease"
	"microagent/testscripts/lane"
)

func in(from, image, to string, recursive bool) (driver.Copied, error) {
	return Offline{}.CopyIn(context.Background(), driver.CopySpec{
		Guest: guest(image, to), Host: driver.HostEnd{Path: from}, Recursive: recursive,
	})
}

func fsck(t testing.TB, image string) {
	t.Helper()
	path, err := exec.LookPath("e2fsck")
	if err != nil {
		t.Skip("e2fsck (e2fsprogs) is not installed")
	}
	if out, err := exec.Command(path, "-fn", image).CombinedOutput(); err != nil {
		t.Errorf("e2fsck: %v\n%.2000s", err, out)
	}
}

// look gives what is at a path of a disk.
func look(t testing.TB, image, path string) (read.Inode, string) {
	t.Helper()
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	x, err := read.Open(f, st.Size())
	if err != nil {
		t.Fatal(err)
	}
	n, err := x.Resolve(path, false)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if n.IsSymlink() {
		target, err := x.Readlink(n)
		if err != nil {
			t.Fatal(err)
		}
		return n, target
	}
	if !n.IsRegular() {
		return n, ""
	}
	file, err := x.File(n)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(io.NewSectionReader(file, 0, min(file.Size(), 1<<20)))
	if err != nil {
		t.Fatal(err)
	}
	return n, string(data)
}

func hostFileOf(t testing.TB, name, data string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := errors.Join(os.WriteFile(path, []byte(data), 0o600), os.Chmod(path, mode), os.Chtimes(path, old, old)); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestInFile(t *testing.T) {
	disk := sample(t)
	src := hostFileOf(t, "a b\n\"'ü", "new content\n", 0o751)
	for _, c := range []struct {
		to, at   string
		replaces bool
	}{
		{"/etc/app.conf", "/etc/app.conf", true},
		{"/etc/fresh", "/etc/fresh", false},
		{"/etc", "/etc/a b\n\"'ü", false},
		{"/etc/", "/etc/a b\n\"'ü", false},
		{"/", "/a b\n\"'ü", true},
		{"/tree/../work/x", "/work/x", false},
		{"/link", "/etc/app.conf", true},
		{"/etc/up", "/etc/app.conf", true},
	} {
		got, err := in(src, disk, c.to, false)
		if err != nil {
			t.Errorf("%q: %v", c.to, err)
			continue
		}
		if got.To != "scratch:"+c.at || got.Files != 1 || got.Bytes != 12 {
			t.Errorf("%q: %+v", c.to, got)
		}
		n, data := look(t, disk, c.at)
		if data != "new content\n" || n.Mode != ext4.ModeRegular|0o751 || !n.Mtime.Equal(old) {
			t.Errorf("%q: %q, %o, %v", c.to, data, n.Mode, n.Mtime)
		}
		uid, gid := owner(t, disk, filepath.Dir(c.at))
		if c.replaces {
			uid, gid = 5, 70000
		}
		if n.UID != uid || n.GID != gid {
			t.Errorf("%q belongs to %d:%d, not %d:%d", c.to, n.UID, n.GID, uid, gid)
		}
		fsck(t, disk)
	}
	if n, _ := look(t, disk, "/link"); !n.IsSymlink() {
		t.Error("the symlink was replaced")
	}
}

func owner(t *testing.T, disk, path string) (uint32, uint32) {
	n, _ := look(t, disk, path)
	return n.UID, n.GID
}

func TestInKeepsOtherNames(t *testing.T) {
	disk := sample(t)
	if _, err := in(hostFileOf(t, "x", "new", 0o600), disk, "/tree/one", false); err != nil {
		t.Fatal(err)
	}
	fsck(t, disk)
	if n, data := look(t, disk, "/tree/same"); data != "1" || n.Links != 1 {
		t.Errorf("the other name has %q and %d links", data, n.Links)
	}
}

func TestInStream(t *testing.T) {
	disk := sample(t)
	spec := driver.CopySpec{Guest: guest(disk, "/bin/tool"), Host: driver.HostEnd{Reader: strings.NewReader("from stdin")}}
	if _, err := (Offline{}).CopyIn(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	if n, data := look(t, disk, "/bin/tool"); data != "from stdin" || n.Mode != ext4.ModeRegular|0o4755 {
		t.Errorf("%q, %o", data, n.Mode)
	}
	spec = driver.CopySpec{Guest: guest(disk, "/bin/new"), Host: driver.HostEnd{Reader: strings.NewReader("x")}}
	if _, err := (Offline{}).CopyIn(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	if n, _ := look(t, disk, "/bin/new"); n.Mode != ext4.ModeRegular|0o644 {
		t.Errorf("%o", n.Mode)
	}
	// A stream that breaks changes nothing.
	broken := errors.New("broken pipe")
	spec.Host.Reader = io.MultiReader(strings.NewReader("half"), iotest.ErrReader(broken))
	if _, err := (Offline{}).CopyIn(t.Context(), spec); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	if _, data := look(t, disk, "/bin/new"); data != "x" {
		t.Errorf("%q", data)
	}
	spec.Guest.Path = "/bin"
	if _, err := (Offline{}).CopyIn(t.Context(), spec); !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("%v", err)
	}
	fsck(t, disk)
}

// The names of one file are names of one file on the disk, and again on the host.
func TestHardLinksComeAndGo(t *testing.T) {
	disk, src := sample(t), filepath.Join(t.TempDir(), "src")
	if err := errors.Join(os.MkdirAll(src+"/sub", 0o755), os.WriteFile(src+"/a", []byte("same"), 0o640), os.Link(src+"/a", src+"/b"),
		os.Link(src+"/a", src+"/sub/c"), os.WriteFile(src+"/d", []byte("own"), 0o640), os.Link(src+"/d", filepath.Dir(src)+"/outside")); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time over what is there
		got, err := in(src, disk, "/work", true)
		if err != nil || got.Files != 4 || got.Bytes != 7 {
			t.Fatalf("%+v, %v", got, err)
		}
		fsck(t, disk)
		first, _ := look(t, disk, "/work/src/a")
		for _, name := range []string{"a", "b", "sub/c"} {
			if n, data := look(t, disk, "/work/src/"+name); n.Number != first.Number || n.Links != 3 || data != "same" {
				t.Errorf("%s: inode %d with %d links and %q", name, n.Number, n.Links, data)
			}
		}
		if n, data := look(t, disk, "/work/src/d"); n.Links != 1 || data != "own" {
			t.Errorf("a file with another name elsewhere: %d links, %q", n.Links, data)
		}
	}
	back := filepath.Join(t.TempDir(), "back")
	if _, err := (Offline{}).CopyOut(t.Context(), driver.CopySpec{Guest: guest(disk, "/work/src"), Host: driver.HostEnd{Path: back}, Recursive: true}); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(back + "/sub/c")
	if err != nil || st.Sys().(*syscall.Stat_t).Nlink != 3 {
		t.Errorf("back on the host: %+v, %v", st, err)
	}
}

func TestInTree(t *testing.T) {
	disk, dir := sample(t), t.TempDir()
	src := filepath.Join(dir, "src")
	if err := errors.Join(os.MkdirAll(src+"/sub/deep", 0o750), os.WriteFile(src+"/one", []byte("host"), 0o644),
		os.WriteFile(src+"/sub/deep/f", []byte("deep"), 0o600), os.Symlink("../one", src+"/sub/l"),
		syscall.Mkfifo(src+"/pipe", 0o600), os.Chtimes(src+"/sub", old, old)); err != nil {
		t.Fatal(err)
	}
	got, err := in(src, disk, "/work", true)
	if err != nil {
		t.Fatal(err)
	}
	if got.Files != 2 || got.LeftOut.Count != 1 || got.To != "scratch:/work/src" {
		t.Errorf("%+v", got)
	}
	fsck(t, disk)
	if _, data := look(t, disk, "/work/src/sub/deep/f"); data != "deep" {
		t.Errorf("%q", data)
	}
	if n, target := look(t, disk, "/work/src/sub/l"); !n.IsSymlink() || target != "../one" {
		t.Errorf("%q", target)
	}
	if n, _ := look(t, disk, "/work/src/sub"); n.Mode != ext4.ModeDir|0o750 || !n.Mtime.Equal(old) || n.UID != 5 || n.GID != 70000 {
		t.Errorf("%+v", n)
	}
	// Merged into what is there; what else there was stays.
	if _, err := in(src+"/.", disk, "/tree", true); err != nil {
		t.Fatal(err)
	}
	fsck(t, disk)
	if _, data := look(t, disk, "/tree/one"); data != "host" {
		t.Errorf("%q", data)
	}
	if _, data := look(t, disk, "/tree/same"); data != "1" {
		t.Errorf("%q", data)
	}
	if _, err := in(src, disk, "/brandnew", true); err != nil {
		t.Fatal(err)
	}
	if _, data := look(t, disk, "/brandnew/one"); data != "host" {
		t.Errorf("%q", data)
	}
}

// TestInManyFiles needs more than one transaction: the disk's journal is small.
func TestInManyFiles(t *testing.T) {
	files := lane.Count(800, 2500)
	disk, src := image(t, 100<<20, nil), filepath.Join(t.TempDir(), "src")
	if err := os.Mkdir(src, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range files {
		name := filepath.Join(src, strings.Repeat("n", 1+i%200)+string(rune('a'+i%26))+strings.Repeat("x", i/250))
		if err := os.WriteFile(name+".", bytes.Repeat([]byte{byte(i)}, i%9000), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadDir(src)
	if err != nil {
		t.Fatal(err)
	}
	got, err := in(src, disk, "/", true)
	if err != nil || got.Files != len(want) {
		t.Fatalf("%+v of %d, %v", got, len(want), err)
	}
	fsck(t, disk)
	back := t.TempDir()
	if _, err := out(disk, "/src", back, true); err != nil {
		t.Fatal(err)
	}
	if diff, err := exec.Command("diff", "-r", src, back+"/src").CombinedOutput(); err != nil {
		t.Errorf("%s", diff)
	}
}

func TestInErrors(t *testing.T) {
	disk, dir := sample(t), t.TempDir()
	file := hostFileOf(t, "app.conf", "x", 0o600)
	if err := errors.Join(syscall.Mkfifo(dir+"/pipe", 0o600), os.Mkdir(dir+"/tree", 0o755), os.WriteFile(dir+"/tree/work", nil, 0o600),
		os.Mkdir(dir+"/work", 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		from, to  string
		recursive bool
		class     error
		text      string
	}{
		{dir, "/etc", false, driver.ErrInvalid, "copy " + dir + ": it is a directory"},
		{dir + "/none", "/etc", false, driver.ErrNotFound, "there is no such file on the host"},
		{file + "/", "/etc", false, driver.ErrInvalid, "it is no directory"},
		{dir + "/pipe", "/etc", false, driver.ErrInvalid, "it is a pipe; only regular files and directories are copied"},
		{"/dev/null", "/etc", false, driver.ErrInvalid, "it is a device"},
		{file, "/no/such/file", false, driver.ErrNotFound, "copy to scratch:/no/such/file: there is no directory /no/such"},
		{file, "/etc/none/", false, driver.ErrNotFound, "there is no such directory"},
		{file, "/etc/app.conf/", false, driver.ErrInvalid, "it is no directory"},
		{file, "/etc/app.conf/x", false, driver.ErrInvalid, "copy to scratch:/etc/app.conf/x: /etc/app.conf is not a directory"},
		{file, "/loop", false, driver.ErrInvalid, "copy to scratch:/loop: its path runs through too many symlinks"},
		{file, "/host", false, driver.ErrInvalid, "it is a symlink that leads nowhere"},
		{file, "/tree/dev", false, driver.ErrInvalid, "it is a device; only regular files are replaced"},
		{file, "/tree/", false, driver.ErrInvalid, "it leads to /tree/app.conf, and the guest makes /tree anew at each start"},
		{dir + "/tree", "/tree", true, driver.ErrInvalid, "and the guest makes /tree anew at each start"},
		{file, "/data", false, driver.ErrInvalid, "it leads to /work/x, where the guest mounts another disk"},
		{dir + "/tree", "/etc/app.conf", true, driver.ErrInvalid, "it is a file, and a directory can't take its place"},
		{dir + "/tree/work", "/", false, driver.ErrInvalid, "where the guest mounts another disk"},
		{file, "/etc/" + strings.Repeat("x", 256), false, driver.ErrInvalid, ": a name has 255 bytes at most, and it has 256"},
	} {
		end := guest(disk, c.to)
		end.Covered, end.Volatile = []string{"/work"}, []string{"/tree"}
		before, err := os.ReadFile(disk)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Offline{}.CopyIn(t.Context(), driver.CopySpec{Guest: end, Host: driver.HostEnd{Path: c.from}, Recursive: c.recursive})
		if !errors.Is(err, c.class) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s to %s: %v", c.from, c.to, err)
		}
		if after, err := os.ReadFile(disk); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s to %s changed the disk, %v", c.from, c.to, err)
		}
	}
	end := guest(disk, "/x")
	end.ReadOnly, end.Instead = "it is a bundle, which is read-only", "change its source"
	_, err := Offline{}.CopyIn(t.Context(), driver.CopySpec{Guest: end, Host: driver.HostEnd{Path: file}})
	if !errors.Is(err, driver.ErrRefused) || driver.Next(err) != "change its source" {
		t.Errorf("%v", err)
	}
}

func TestInWhileHeld(t *testing.T) {
	disk := sample(t)
	l, err := lease.Acquire(disk, lease.Shared)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = in(hostFileOf(t, "x", "x", 0o600), disk, "/x", false)
	if !errors.Is(err, driver.ErrBusy) || !strings.Contains(err.Error(), "pid ") {
		t.Errorf("%v", err)
	}
}

func TestInFullDisk(t *testing.T) {
	disk := sample(t)
	big := hostFileOf(t, "big", strings.Repeat("0123456789abcdef", 5<<20), 0o600)
	_, err := in(big, disk, "/etc/app.conf", false)
	if !errors.Is(err, driver.ErrNoSpace) || driver.Next(err) == "" {
		t.Errorf("%v", err)
	}
	fsck(t, disk)
	if _, data := look(t, disk, "/etc/app.conf"); data != "config-v1\n" {
		t.Errorf("the old file holds %q", data)
	}
}

// TestLargeSparseFileThereAndBack is of more than 4 GiB, with holes and data up to its last byte.
func TestLargeSparseFileThereAndBack(t *testing.T) {
	disk, dir := image(t, 64<<20, nil), t.TempDir()
	f, err := os.Create(dir + "/sparse")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const size = 5<<30 + 3
	if err := errors.Join(at(f, 0, "begin"), at(f, 4<<30+5, "middle"), at(f, size-3, "end")); err != nil {
		t.Fatal(err)
	}
	if _, err := in(dir+"/sparse", disk, "/", false); err != nil {
		t.Fatal(err)
	}
	fsck(t, disk)
	if n, _ := look(t, disk, "/sparse"); n.Size != size {
		t.Errorf("%d bytes", n.Size)
	}
	if _, err := out(disk, "/sparse", dir+"/back", false); err != nil {
		t.Fatal(err)
	}
	back, err := os.Open(dir + "/back")
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	for off, want := range map[int64]string{0: "begin", 4<<30 + 5: "middle", size - 3: "end"} {
		b := make([]byte, len(want))
		if _, err := back.ReadAt(b, off); err != nil || string(b) != want {
			t.Errorf("%d: %q, %v", off, b, err)
		}
	}
	var st syscall.Stat_t
	if err := syscall.Stat(dir+"/back", &st); err != nil || st.Size != size || st.Blocks > 128 {
		t.Errorf("%d bytes in %d sectors, %v", st.Size, st.Blocks, err)
	}
}

func TestInInterrupted(t *testing.T) {
	disk := sample(t)
	ctx, cancel := context.WithCancel(t.Context())
	r := readerFunc(func(p []byte) (int, error) { cancel(); return len(p), nil })
	_, err := Offline{}.CopyIn(ctx, driver.CopySpec{Guest: guest(disk, "/etc/app.conf"), Host: driver.HostEnd{Reader: r}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, data := look(t, disk, "/etc/app.conf"); data != "config-v1\n" {
		t.Errorf("the old file holds %q", data)
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestInWhileMountedOnTheHost(t *testing.T) {
	disk, at := sample(t), t.TempDir()
	if out, err := exec.Command("mount", "-o", "loop", disk, at).CombinedOutput(); err != nil {
		t.Skipf("the kernel mounts no image here: %s", out)
	}
	_, err := in(hostFileOf(t, "x", "x", 0o600), disk, "/x", false)
	if out, err := exec.Command("umount", at).CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
	if !errors.Is(err, driver.ErrBusy) || !strings.Contains(err.Error(), "/dev/loop") {
		t.Errorf("%v", err)
	}
}

// TestTreesAndMounts: what the guest mounts over is neither read nor written by accident.
func TestTreesAndMounts(t *testing.T) {
	disk, dir := sample(t), t.TempDir()
	if err := errors.Join(os.MkdirAll(dir+"/src/work", 0o755), os.MkdirAll(dir+"/deep/work", 0o755), os.WriteFile(dir+"/deep/work/x", nil, 0o600),
		os.Mkdir(dir+"/out", 0o755), os.Symlink("src", dir+"/linked")); err != nil {
		t.Fatal(err)
	}
	end := guest(disk, "/")
	end.Covered = []string{"/work", "/tree"}
	got, err := Offline{}.CopyOut(t.Context(), driver.CopySpec{Guest: end, Host: driver.HostEnd{Path: dir + "/out"}, Recursive: true})
	if err != nil {
		t.Fatal(err)
	}
	if list, err := os.ReadDir(dir + "/out/tree"); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
	if !strings.Contains(strings.Join(got.LeftOut.Names, "\n"), "tree: the guest mounts another disk there") {
		t.Errorf("%+v", got)
	}
	in := func(from string) error {
		_, err := Offline{}.CopyIn(t.Context(), driver.CopySpec{Guest: end, Host: driver.HostEnd{Path: from}, Recursive: true})
		return err
	}
	if err := in(dir + "/src/."); err != nil {
		t.Error(err)
	}
	if err := in(dir + "/deep/."); !errors.Is(err, driver.ErrInvalid) || driver.Next(err) != "name that one instead: scratch:/work/x" {
		t.Errorf("%v", err)
	}
	if err := in(dir + "/linked"); err != nil {
		t.Error(err)
	}
	if n, _ := look(t, disk, "/linked/work"); !n.IsDir() {
		t.Errorf("%+v", n)
	}
	fsck(t, disk)
}
