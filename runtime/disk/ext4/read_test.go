package ext4_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/build"
	"microagent/runtime/disk/ext4/format"
	"microagent/runtime/disk/ext4/read"
)

// open opens an image for reading.
func open(t testing.TB, path string) *read.FS {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	x, err := read.Open(f, st.Size())
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func content(t testing.TB, x *read.FS, path string) []byte {
	t.Helper()
	n, err := x.Resolve(path, true)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	f, err := x.File(n)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	data, err := io.ReadAll(io.NewSectionReader(f, 0, f.Size()))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return data
}

// listing is a whole tree, a line for each name.
func listing(t testing.TB, x *read.FS) []string {
	t.Helper()
	var lines []string
	var walk func(dir read.Inode, path string)
	walk = func(dir read.Inode, path string) {
		entries, err := x.ReadDir(dir)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		slices.SortFunc(entries, func(a, b read.DirEntry) int { return strings.Compare(a.Name, b.Name) })
		for _, e := range entries {
			n, err := x.Inode(e.Inode)
			if err != nil {
				t.Fatalf("%s/%s: %v", path, e.Name, err)
			}
			if e.Type != n.Mode&ext4.ModeType {
				t.Errorf("%s/%s: type %#x in the directory, %#x in the inode", path, e.Name, e.Type, n.Mode)
			}
			line := fmt.Sprintf("%s/%s %06o %d:%d links=%d size=%d", path, e.Name, n.Mode, n.UID, n.GID, n.Links, n.Size)
			if n.IsSymlink() {
				target, err := x.Readlink(n)
				if err != nil {
					t.Fatal(err)
				}
				line += " -> " + target
			}
			if n.Major|n.Minor != 0 {
				line += fmt.Sprintf(" %d:%d", n.Major, n.Minor)
			}
			attrs, err := x.Xattrs(n)
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range slices.Sorted(maps.Keys(attrs)) {
				line += fmt.Sprintf(" %s=%d", k, len(attrs[k]))
			}
			lines = append(lines, line)
			if n.IsDir() {
				walk(n, path+"/"+e.Name)
			}
		}
	}
	root, err := x.Root()
	if err != nil {
		t.Fatal(err)
	}
	walk(root, "")
	return lines
}

func sameLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("got\n%s\nwant\n%s", g, w)
	}
}

func TestTreeReadsBack(t *testing.T) {
	acl := []byte("\x02\x00\x00\x00" + "\x01\x00\x07\x00\xff\xff\xff\xff" + "\x02\x00\x06\x00\xe8\x03\x00\x00" +
		"\x04\x00\x05\x00\xff\xff\xff\xff" + "\x10\x00\x07\x00\xff\xff\xff\xff" + "\x20\x00\x04\x00\xff\xff\xff\xff")
	late := time.Date(2300, 1, 2, 3, 4, 5, 987654321, time.UTC)
	path := buildImage(t, build.Options{Size: 64 << 20, Journal: true}, func(b *build.Builder) error {
		return errors.Join(
			b.Mkdir(".", ext4.Attr{Mode: 0o1777, UID: 5, GID: 70000, Mtime: testTime}),
			b.Mkdir("dir", ext4.Attr{Mode: 0o2750, UID: 1<<32 - 2, GID: 1 << 20, Mtime: late}),
			file(b, "dir/data", []byte("data")),
			b.Link("dir/hard", "dir/data"),
			b.Link("other", "dir/hard"),
			b.Symlink("short", "dir", attr(0)),
			b.Symlink("s59", strings.Repeat("a", 59), attr(0)),
			b.Symlink("s60", strings.Repeat("b", 60), attr(0)),
			b.Symlink("s4095", strings.Repeat("c", 4095), attr(0)),
			b.Device("null", ext4.ModeChar, 1, 3, attr(0o666)),
			b.Device("nvme", ext4.ModeBlock, 259, 300, attr(0o600)),
			b.Device("big", ext4.ModeBlock, 4095, 1048575, attr(0o600)),
			b.Device("white", ext4.ModeChar, 0, 0, attr(0)),
			b.Device("pipe", ext4.ModeFIFO, 0, 0, attr(0o600)),
			b.Device("sock", ext4.ModeSocket, 0, 0, attr(0o755)),
			b.File("x", ext4.Attr{Mode: 0o4755, Mtime: time.Unix(-1, 0), Xattrs: map[string][]byte{
				"system.posix_acl_access": acl, "user.a": []byte("1"), "security.capability": make([]byte, 20),
				"user.big": bytes.Repeat([]byte("v"), 2000), "trusted.empty": {},
			}}, 0, nil),
		)
	})
	x := open(t, path)
	sameLines(t, listing(t, x),
		"/big 060600 0:0 links=1 size=0 4095:1048575",
		"/dir 042750 4294967294:1048576 links=2 size=4096",
		"/dir/data 100644 0:0 links=3 size=4",
		"/dir/hard 100644 0:0 links=3 size=4",
		"/null 020666 0:0 links=1 size=0 1:3",
		"/nvme 060600 0:0 links=1 size=0 259:300",
		"/other 100644 0:0 links=3 size=4",
		"/pipe 010600 0:0 links=1 size=0",
		"/s4095 120777 0:0 links=1 size=4095 -> "+strings.Repeat("c", 4095),
		"/s59 120777 0:0 links=1 size=59 -> "+strings.Repeat("a", 59),
		"/s60 120777 0:0 links=1 size=60 -> "+strings.Repeat("b", 60),
		"/short 120777 0:0 links=1 size=3 -> dir",
		"/sock 140755 0:0 links=1 size=0",
		"/white 020000 0:0 links=1 size=0",
		"/x 104755 0:0 links=1 size=0 security.capability=20 system.posix_acl_access=44 trusted.empty=0 user.a=1 user.big=2000",
	)
	root, err := x.Root()
	if err != nil || root.Mode != ext4.ModeDir|0o1777 || root.UID != 5 || root.GID != 70000 {
		t.Errorf("root %+v, %v", root, err)
	}
	dir, err := x.Resolve("/short/../short/.", true)
	if err != nil || !dir.Mtime.Equal(late) {
		t.Errorf("mtime %v, %v", dir.Mtime, err)
	}
	special, err := x.Resolve("x", true)
	if err != nil || !special.Mtime.Equal(time.Unix(-1, 0)) {
		t.Errorf("mtime %v, %v", special.Mtime, err)
	}
	attrs, err := x.Xattrs(special)
	if err != nil || !bytes.Equal(attrs["system.posix_acl_access"], acl) || string(attrs["user.a"]) != "1" {
		t.Errorf("xattrs %v, %v", attrs, err)
	}
	if _, err := x.Resolve("dir/none", true); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if got := content(t, x, "short/hard"); string(got) != "data" {
		t.Errorf("got %q", got)
	}
	if info := x.Info(); info.Dirty || !info.Journal || info.Size != 64<<20 {
		t.Errorf("info %+v", info)
	}
	out := tool(t, "debugfs", "-R", "stat /x", path)
	for _, want := range []string{"user.a", "security.capability", "Mode:  04755"} {
		if !bytes.Contains(out, []byte(want)) {
			t.Errorf("debugfs does not show %q:\n%s", want, out)
		}
	}
}

func TestOthersImagesRead(t *testing.T) {
	src := t.TempDir()
	for i := range 400 {
		if err := os.WriteFile(fmt.Sprintf("%s/a name that fills the block %d", src, i), random(uint64(i), 100*i), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(src+"/large", random(1, 9<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(strings.Repeat("x/", 40), src+"/link"); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"-t", "ext4"}, {"-t", "ext4", "-b", "1024"}, {"-t", "ext4", "-O", "^64bit,^metadata_csum"}, {"-t", "ext3"}, {"-t", "ext2", "-I", "128", "-b", "1024"},
		{"-t", "ext4", "-O", "meta_bg,^resize_inode"}, {"-t", "ext4", "-O", "bigalloc"},
	} {
		path := filepath.Join(t.TempDir(), "image")
		tool(t, "mke2fs", append(append([]string{"-q"}, args...), "-d", src, path, "64M")...)
		x := open(t, path)
		for _, name := range []string{"a name that fills the block 399", "large"} {
			want, err := os.ReadFile(src + "/" + name)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(content(t, x, name), want) {
				t.Errorf("%v: %s differs", args, name)
			}
		}
		if lines := listing(t, x); len(lines) != 403 {
			t.Errorf("%v: %d names", args, len(lines))
		}
	}
}

func TestExtentTreesOfAnyDepth(t *testing.T) {
	for _, count := range []int{3, 4, 5, 339, 340, 341, 1360, 1361, 3000} {
		path := buildImage(t, build.Options{Size: 256 << 20}, func(b *build.Builder) error {
			data := make([]byte, 2*count*ext4.BlockSize)
			for i := range count {
				copy(data[2*i*ext4.BlockSize:], random(uint64(i), 5))
			}
			return file(b, "f", data)
		})
		x := open(t, path)
		n, err := x.Resolve("f", false)
		if err != nil {
			t.Fatal(err)
		}
		extents, err := x.Extents(n)
		if err != nil || len(extents) != count {
			t.Fatalf("%d extents instead of %d, %v", len(extents), count, err)
		}
		data := content(t, x, "f")
		for i := range count {
			if !bytes.Equal(data[2*i*ext4.BlockSize:2*i*ext4.BlockSize+6], append(random(uint64(i), 5), 0)) {
				t.Fatalf("%d extents: block %d differs", count, i)
			}
		}
	}
}

// spots is an endless reader of zeros with one byte in between now and then.
type spots struct{ at, every int64 }

func (s *spots) Read(p []byte) (int, error) {
	clear(p)
	for i := (s.every - s.at%s.every) % s.every; i < int64(len(p)); i += s.every {
		p[i] = 1
	}
	s.at += int64(len(p))
	return len(p), nil
}

func TestLargeSparseFile(t *testing.T) {
	const size = 4<<30 + 5
	path := buildImage(t, build.Options{Size: 100 << 30}, func(b *build.Builder) error {
		return b.File("sparse", attr(0o644), size, &spots{every: 4 << 20})
	})
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if used := diskUsage(st); used > 16<<20 {
		t.Errorf("allocates %d bytes", used)
	}
	x := open(t, path)
	n, err := x.Resolve("sparse", false)
	if err != nil || n.Size != size {
		t.Fatalf("%+v %v", n, err)
	}
}

func TestLayersReadBack(t *testing.T) {
	path := buildImage(t, build.Options{Size: 64 << 20, Journal: true}, func(b *build.Builder) error {
		err := errors.Join(
			b.Mkdir("usr/bin", attr(0o755)),
			b.Symlink("bin", "usr/bin", attr(0)),
			b.Symlink("abs", "/usr", attr(0)),
			b.Symlink("up", "../../../usr", attr(0)),
			b.Symlink("loop", "loop/x", attr(0)),
			file(b, "usr/bin/sh", random(1, 300000)),
			file(b, "etc/a", random(2, 100000)),
			file(b, "etc/b", nil),
			file(b, "keep/lower", nil), file(b, "keep/both", []byte("old")),
			b.Link("etc/hard", "etc/a"),
			file(b, "replaced/by/file", nil),
			file(b, "whole/lower", nil), file(b, "whole/deep/lower", nil),
		)
		b.NextLayer()
		err = errors.Join(err,
			file(b, "bin/sh", bytes.Repeat([]byte("new"), 50000)),
			file(b, "abs/x", []byte("x")), file(b, "up/y", []byte("y")),
			b.Whiteout("etc/a"), b.Whiteout("etc/none"), b.Whiteout("none/x"),
			file(b, "keep/both", []byte("new")), file(b, "keep/upper", nil),
			b.Opaque("keep"),
			file(b, "whole/deep/upper", nil), b.Whiteout("whole"),
			file(b, "replaced", nil),
			file(b, "twice", []byte("1")), file(b, "twice", []byte("22")),
		)
		if e := file(b, "etc/b/not", nil); !errors.Is(e, ext4.ErrInvalid) {
			t.Errorf("a file below a file: %v", e)
		}
		if e := file(b, "loop/y", nil); !errors.Is(e, ext4.ErrInvalid) {
			t.Errorf("a loop: %v", e)
		}
		if e := b.Link("l", "none"); !errors.Is(e, fs.ErrNotExist) {
			t.Errorf("a link to nothing: %v", e)
		}
		if e := b.Link("l", "etc"); !errors.Is(e, ext4.ErrInvalid) {
			t.Errorf("a link to a directory: %v", e)
		}
		return err
	})
	x := open(t, path)
	sameLines(t, listing(t, x),
		"/abs 120777 0:0 links=1 size=4 -> /usr",
		"/bin 120777 0:0 links=1 size=7 -> usr/bin",
		"/etc 040755 0:0 links=2 size=4096",
		"/etc/b 100644 0:0 links=1 size=0",
		"/etc/hard 100644 0:0 links=1 size=100000",
		"/keep 040755 0:0 links=2 size=4096",
		"/keep/both 100644 0:0 links=1 size=3",
		"/keep/upper 100644 0:0 links=1 size=0",
		"/loop 120777 0:0 links=1 size=6 -> loop/x",
		"/replaced 100644 0:0 links=1 size=0",
		"/twice 100644 0:0 links=1 size=2",
		"/up 120777 0:0 links=1 size=12 -> ../../../usr",
		"/usr 040755 0:0 links=3 size=4096",
		"/usr/bin 040755 0:0 links=2 size=4096",
		"/usr/bin/sh 100644 0:0 links=1 size=150000",
		"/usr/x 100644 0:0 links=1 size=1",
		"/usr/y 100644 0:0 links=1 size=1",
		"/whole 040755 0:0 links=3 size=4096",
		"/whole/deep 040755 0:0 links=2 size=4096",
		"/whole/deep/upper 100644 0:0 links=1 size=0",
	)
	if got := content(t, x, "bin/sh"); !bytes.Equal(got, bytes.Repeat([]byte("new"), 50000)) {
		t.Error("the overwritten file differs")
	}
	if got := content(t, x, "etc/hard"); !bytes.Equal(got, random(2, 100000)) {
		t.Error("the file that kept one of its names differs")
	}
	if _, err := x.Resolve("loop", true); !errors.Is(err, format.ErrLoop) {
		t.Errorf("got %v", err)
	}
}
