package layer

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/build"
	"microagent/runtime/disk/ext4/read"
	"microagent/runtime/driver"
)

type memory [][]byte

func (m memory) Len() int           { return len(m) }
func (m memory) Close() error       { return nil }
func (m memory) Whiteouts(int) bool { return true }
func (m memory) Open(_ context.Context, i int) (io.ReadCloser, error) {
	if m[i] == nil {
		return nil, driver.ErrUnavailable
	}
	return io.NopCloser(bytes.NewReader(m[i])), nil
}

type item struct {
	tar.Header
	body string
}

func reg(name, body string) item { return item{tar.Header{Name: name, Typeflag: tar.TypeReg}, body} }
func dir(name string) item {
	return item{tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755}, ""}
}
func named(kind byte, name, target string) item {
	return item{tar.Header{Name: name, Typeflag: kind, Linkname: target}, ""}
}

func pack(t testing.TB, items ...item) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range items {
		h := e.Header
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(e.body))
		}
		if h.ModTime.IsZero() {
			h.ModTime = time.Unix(1e9, 0)
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// apply builds an image of layers, checks it and opens it.
func apply(t testing.TB, limits Limits, layers ...[]byte) (*read.FS, error) {
	t.Helper()
	return buildLayers(t, limits, memory(layers))
}

func buildLayers(t testing.TB, limits Limits, layers driver.Layers) (*read.FS, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	b, err := build.New(f, build.Options{Size: 64 << 20, Time: time.Unix(1e9, 0)})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := Apply(t.Context(), b, layers, limits, nil); err != nil {
		return nil, err
	}
	if _, err := b.Finish(); err != nil {
		t.Fatal(err)
	}
	if tool, err := exec.LookPath("e2fsck"); err == nil {
		if out, err := exec.Command(tool, "-fn", path).CombinedOutput(); err != nil {
			t.Errorf("e2fsck: %v\n%s", err, out)
		}
	}
	x, err := read.Open(f, 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	return x, nil
}

// paths lists a tree: directories end in a slash, symlinks show their target, files their content.
func paths(t testing.TB, x *read.FS) []string {
	t.Helper()
	var list []string
	var walk func(n read.Inode, at string)
	walk = func(n read.Inode, at string) {
		for e, err := range x.Entries(n) {
			if err != nil {
				t.Fatal(err)
			}
			child, err := x.Inode(e.Inode)
			if err != nil {
				t.Fatal(err)
			}
			name := at + e.Name
			switch {
			case child.IsDir():
				list = append(list, name+"/")
				walk(child, name+"/")
			case child.IsSymlink():
				target, err := x.Readlink(child)
				if err != nil {
					t.Fatal(err)
				}
				list = append(list, name+"->"+target)
			case child.IsRegular():
				file, err := x.File(child)
				if err != nil {
					t.Fatal(err)
				}
				data, err := io.ReadAll(io.NewSectionReader(file, 0, file.Size()))
				if err != nil {
					t.Fatal(err)
				}
				list = append(list, name+"="+string(data))
			default:
				list = append(list, fmt.Sprintf("%s:%o", name, child.Mode))
			}
		}
	}
	root, err := x.Root()
	if err != nil {
		t.Fatal(err)
	}
	walk(root, "")
	slices.Sort(list)
	return list
}

func TestMerge(t *testing.T) {
	for name, c := range map[string]struct {
		layers [][]item
		want   string
	}{
		"duplicates":       {[][]item{{reg("a", "1"), reg("./a", "2"), reg("/a", "3")}}, "a=3"},
		"whiteout":         {[][]item{{reg("d/a", ""), reg("d/b", "b")}, {reg("d/.wh.a", "")}}, "d/ d/b=b"},
		"whiteout of dir":  {[][]item{{reg("d/e/a", "")}, {reg("d/.wh.e", "")}}, "d/"},
		"whiteout first":   {[][]item{{reg("a", "1")}, {reg(".wh.a", ""), reg("a", "2")}}, "a=2"},
		"whiteout last":    {[][]item{{reg("a", "1")}, {reg("a", "2"), reg(".wh.a", "")}}, "a=2"},
		"whiteout, dir":    {[][]item{{reg("d/x", "1")}, {dir("d/"), reg("d/y", "2"), reg(".wh.d", "")}}, "d/ d/y=2"},
		"whiteout of none": {[][]item{{reg("a", "1")}, {reg(".wh.b", ""), reg("no/.wh.c", "")}}, "a=1"},
		"whiteout alone":   {[][]item{{reg(".wh.b", ""), reg("b", "1")}}, "b=1"},
		"opaque":           {[][]item{{reg("d/x", "1"), reg("d/e/y", "1")}, {reg("d/.wh..wh..opq", ""), reg("d/z", "2")}}, "d/ d/z=2"},
		"opaque last":      {[][]item{{reg("d/x", "1")}, {dir("d/"), reg("d/z", "2"), reg("d/.wh..wh..opq", "")}}, "d/ d/z=2"},
		"aufs":             {[][]item{{reg(".wh..wh.plnk/1", ""), reg("a", "")}, {dir(".wh..wh.orph")}}, "a="},
		"symlinked parent": {[][]item{{dir("usr/bin/"), named(tar.TypeSymlink, "bin", "usr/bin")}, {reg("bin/x", "1")}}, "bin->usr/bin usr/ usr/bin/ usr/bin/x=1"},
		"dangling parent":  {[][]item{{named(tar.TypeSymlink, "bin", "/usr/bin"), reg("bin/x", "1")}}, "bin->/usr/bin usr/ usr/bin/ usr/bin/x=1"},
		"escape":           {[][]item{{reg("../../a", "1"), reg("/x/../../b", "2"), named(tar.TypeSymlink, "up", "../../.."), reg("up/c", "3")}}, "a=1 b=2 c=3 up->../../.."},
		"dir over symlink": {[][]item{{dir("usr/"), named(tar.TypeSymlink, "s", "usr")}, {dir("s/"), reg("s/x", "1")}}, "s/ s/x=1 usr/"},
		"file over dir":    {[][]item{{reg("d/x", "1")}, {reg("d", "2")}}, "d=2"},
		"dir over file":    {[][]item{{reg("d", "1")}, {dir("d/")}}, "d/"},
		"link before":      {[][]item{{named(tar.TypeLink, "b", "a"), named(tar.TypeLink, "c", "b"), reg("a", "1")}}, "a=1 b=1 c=1"},
		"link chain":       {[][]item{{named(tar.TypeLink, "c", "b"), named(tar.TypeLink, "b", "a"), reg("a", "1")}}, "a=1 b=1 c=1"},
		"link replaced":    {[][]item{{named(tar.TypeLink, "b", "a"), reg("b", "2"), reg("a", "1")}}, "a=1 b=2"},
		"link over layers": {[][]item{{reg("a", "1")}, {named(tar.TypeLink, "b", "a")}, {reg(".wh.a", "")}}, "b=1"},
		"link to symlink":  {[][]item{{named(tar.TypeSymlink, "s", "x"), named(tar.TypeLink, "t", "s")}}, "s->x t->x"},
		"devices":          {[][]item{{item{tar.Header{Name: "n", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}, ""}, item{tar.Header{Name: "p", Typeflag: tar.TypeFifo}, ""}}}, "n:20644 p:10644"},
		"root":             {[][]item{{dir("./"), dir("/"), reg("a", "")}}, "a="},
		"three":            {[][]item{{reg("a", "1")}, {reg(".wh.a", "")}, {reg("a", "3")}}, "a=3"},
	} {
		t.Run(name, func(t *testing.T) {
			var layers [][]byte
			for _, l := range c.layers {
				layers = append(layers, pack(t, l...))
			}
			x, err := apply(t, Limits{}, layers...)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(paths(t, x), " "); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestErrorsNameLayerAndEntry(t *testing.T) {
	good := pack(t, reg("fine", "1"))
	whole := pack(t, reg("file", strings.Repeat("x", 5000)))
	for name, c := range map[string]struct {
		layer  []byte
		limits Limits
		class  error
		text   string
	}{
		"truncated":     {whole[:2000], Limits{}, driver.ErrCorrupt, `layer 1: entry "file": corrupt: it ends too early`},
		"garbage":       {bytes.Repeat([]byte("garbage"), 200), Limits{}, driver.ErrCorrupt, `layer 1: corrupt: archive/tar: invalid tar header`},
		"not there":     {nil, Limits{}, driver.ErrUnavailable, `layer 1: unavailable`},
		"link to none":  {pack(t, named(tar.TypeLink, "l", "none")), Limits{}, driver.ErrInvalid, `layer 1: entry "l": invalid: hard link to "none", which is not there`},
		"below a file":  {pack(t, reg("fine/x", "")), Limits{}, driver.ErrInvalid, `layer 1: entry "fine/x": not possible in ext4: a parent is not a directory`},
		"long name":     {pack(t, reg(strings.Repeat("n", 256), "")), Limits{}, driver.ErrInvalid, "name is longer than 255 bytes"},
		"long path":     {pack(t, dir(strings.Repeat("n/", 3000))), Limits{}, driver.ErrInvalid, "path is longer than 4096 bytes"},
		"entries":       {pack(t, reg("a", ""), reg("b", "")), Limits{Entries: 2}, driver.ErrInvalid, `layer 1: entry "b": invalid: more than 2 entries`},
		"bytes":         {whole, Limits{Bytes: 5000}, driver.ErrInvalid, "more than 5000 bytes"},
		"names":         {pack(t, reg(strings.Repeat("n", 200), "")), Limits{Names: 100}, driver.ErrInvalid, "more than 100 bytes of names, links and attributes"},
		"empty mark":    {pack(t, reg(".wh.", "")), Limits{}, driver.ErrInvalid, "whiteout of nothing"},
		"device number": {pack(t, item{tar.Header{Name: "d", Typeflag: tar.TypeBlock, Devmajor: 5000}, ""}), Limits{}, driver.ErrInvalid, "device number 5000:0"},
		"root as file":  {pack(t, named(tar.TypeSymlink, ".", "x")), Limits{}, driver.ErrInvalid, "the root can't be this"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := apply(t, c.limits, good, c.layer)
			if !errors.Is(err, c.class) || !strings.Contains(fmt.Sprint(err), c.text) {
				t.Errorf("got %v", err)
			}
			var e *Error
			if !errors.As(err, &e) || e.Layer != 1 {
				t.Errorf("no place in %v", err)
			}
		})
	}
}

// TestDigestAtTheEnd reads to the very end, where a source tells that its digest is wrong.
func TestDigestAtTheEnd(t *testing.T) {
	_, err := Tar(t.Context(), sink{}, io.MultiReader(bytes.NewReader(pack(t, reg("a", "1"))), bytes.NewReader(make([]byte, 9000)), failing{}), Limits{}, nil)
	if !errors.Is(err, driver.ErrCorrupt) {
		t.Errorf("got %v", err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, driver.ErrCorrupt }

func TestTarIsStricter(t *testing.T) {
	for name, c := range map[string]struct {
		entry item
		text  string
	}{
		"dots":      {reg("a/../../b", ""), `entry "a/../../b": invalid: .. in its path`},
		"absolute":  {reg("/etc/x", ""), `entry "/etc/x": invalid: absolute path`},
		"device":    {item{tar.Header{Name: "null", Typeflag: tar.TypeChar}, ""}, `entry "null": invalid: devices and FIFOs have no place`},
		"fifo":      {item{tar.Header{Name: "pipe", Typeflag: tar.TypeFifo}, ""}, `entry "pipe"`},
		"link out":  {named(tar.TypeLink, "l", "../x"), `hard link to "../x": invalid: .. in its path`},
		"link root": {named(tar.TypeLink, "l", "/x"), `absolute path`},
	} {
		_, err := Tar(t.Context(), sink{}, bytes.NewReader(pack(t, c.entry)), Limits{}, nil)
		if !errors.Is(err, driver.ErrInvalid) || !strings.Contains(fmt.Sprint(err), c.text) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	whole := pack(t, reg("a", "1"), reg("b", "2"))
	for cut := range len(whole) - 512 {
		if _, err := Tar(t.Context(), sink{}, bytes.NewReader(whole[:cut]), Limits{}, nil); !errors.Is(err, driver.ErrCorrupt) {
			if cut < len(whole)-1024 || !errors.Is(err, nil) {
				t.Fatalf("cut at %d: %v", cut, err)
			}
		}
	}
	if _, err := Tar(t.Context(), sink{}, bytes.NewReader(whole), Limits{}, nil); err != nil {
		t.Error(err)
	}
}

// sink takes everything and reads files to their end.
type sink struct{}

func (sink) NextLayer()                                             {}
func (sink) Mkdir(string, ext4.Attr) error                          { return nil }
func (sink) Symlink(string, string, ext4.Attr) error                { return nil }
func (sink) Link(string, string) error                              { return nil }
func (sink) Device(string, uint32, uint32, uint32, ext4.Attr) error { return nil }
func (sink) Whiteout(string) error                                  { return nil }
func (sink) Opaque(string) error                                    { return nil }
func (sink) Remove(string) error                                    { return nil }
func (sink) Own(string) bool                                        { return true }
func (sink) File(_ string, _ ext4.Attr, size int64, r io.Reader) error {
	if n, err := io.Copy(io.Discard, r); err != nil || n != size {
		return errors.Join(err, io.ErrUnexpectedEOF)
	}
	return nil
}

func TestAttributes(t *testing.T) {
	h := tar.Header{Name: "x", Typeflag: tar.TypeReg, Mode: 0o4711, Uid: 70000, Gid: 1 << 30, ModTime: time.Unix(-5, 123), Format: tar.FormatPAX,
		PAXRecords: map[string]string{
			"SCHILY.xattr.user.a": "1", "SCHILY.xattr.com.apple.provenance": "no", "LIBARCHIVE.xattr.user.a%20b": "Yg",
			"SCHILY.acl.access": "user::rwx,user:1000:r--,group::r-x,mask::r-x,other::---",
		}}
	x, err := apply(t, Limits{}, pack(t, item{h, ""}))
	if err != nil {
		t.Fatal(err)
	}
	n, err := x.Resolve("x", false)
	if err != nil {
		t.Fatal(err)
	}
	if n.Mode != ext4.ModeRegular|0o4711 || n.UID != 70000 || n.GID != 1<<30 || !n.Mtime.Equal(h.ModTime) {
		t.Errorf("%+v", n)
	}
	attrs, err := x.Xattrs(n)
	if err != nil || len(attrs) != 3 || string(attrs["user.a"]) != "1" || string(attrs["user.a b"]) != "b" || len(attrs["system.posix_acl_access"]) != 44 {
		t.Errorf("%q %v", attrs, err)
	}
	h.PAXRecords = map[string]string{"SCHILY.acl.access": "user::rwx,user:bob:r--,group::r-x,mask::r-x,other::---"}
	if _, err := apply(t, Limits{}, pack(t, item{h, ""})); err != nil {
		t.Errorf("an image whose ACL names somebody: %v", err)
	}
	if _, err := Tar(t.Context(), sink{}, bytes.NewReader(pack(t, item{h, ""})), Limits{}, nil); !errors.Is(err, errACLName) {
		t.Errorf("a bundle whose ACL names somebody: %v", err)
	}
}

func TestAheadEnds(t *testing.T) {
	data := bytes.Repeat([]byte("abcdefg"), 300_000)
	a := ReadAhead(t.Context(), 1<<20, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
	got, err := io.ReadAll(a)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d of %d bytes, %v", len(got), len(data), err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	b := ReadAhead(ctx, 1<<20, func() (io.ReadCloser, error) { return io.NopCloser(endless{}), nil })
	cancel()
	if _, err := io.Copy(io.Discard, b); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	b.Close()
}

// TestAheadIsSeen: what is read was seen before, all of it and in its order, and who gives up waits for nobody.
func TestAheadIsSeen(t *testing.T) {
	data := make([]byte, 5<<20+17)
	for i := range data {
		data[i] = byte(i >> 8)
	}
	var seen []byte
	see := func(p []byte) { seen = append(seen, p...) }
	a := ReadAheadBy(t.Context(), 1<<20, see, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
	got, err := io.ReadAll(a)
	a.Close()
	if err != nil || !bytes.Equal(got, data) || !bytes.Equal(seen, data) {
		t.Errorf("%d of %d bytes, %d seen, %v", len(got), len(data), len(seen), err)
	}
	b := ReadAheadBy(t.Context(), 1<<20, func([]byte) {}, func() (io.ReadCloser, error) { return io.NopCloser(endless{}), nil })
	if _, err := io.CopyN(io.Discard, b, 3<<20); err != nil {
		t.Error(err)
	}
	b.Close()
	c := ReadAheadBy(t.Context(), 1<<20, func([]byte) {}, func() (io.ReadCloser, error) { return nil, io.ErrClosedPipe })
	if _, err := io.ReadAll(c); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v", err)
	}
	c.Close()
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// FuzzApply puts two layers of arbitrary bytes into a tree; what comes out must be sound.
func FuzzApply(f *testing.F) {
	f.Add(pack(f, dir("usr/bin/"), named(tar.TypeSymlink, "bin", "usr/bin"), reg("bin/x", "1")), pack(f, reg("bin/.wh.x", ""), reg("y", "2")))
	f.Add(pack(f, named(tar.TypeSymlink, "a", "../../b"), named(tar.TypeLink, "c", "a"), reg("a/b", "x")), pack(f, reg("a/.wh..wh..opq", "")))
	f.Add(pack(f, reg("d/e/f", "1")), pack(f, reg("d", "2"), dir("d/"), named(tar.TypeLink, "x", "d")))
	f.Fuzz(func(t *testing.T, lower, upper []byte) {
		limits := Limits{Entries: 1000, Bytes: 1 << 20, Names: 1 << 20}
		x, err := apply(t, limits, lower, upper)
		if err == nil {
			_ = paths(t, x)
		}
	})
}
