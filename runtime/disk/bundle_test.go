package disk

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/read"
	"microagent/runtime/driver"
)

func sampleTar(t testing.TB) []byte {
	t.Helper()
	return tarOf(t,
		tarEntry{Header: tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o750, Uid: 7}},
		tarEntry{tar.Header{Name: "./hello", Mode: 0o4755, Uid: 70000, Gid: 5, ModTime: time.Unix(1e9, 0)}, "hello"},
		tarEntry{tar.Header{Name: ".wh.kept"}, strings.Repeat("x", 100_000)},
		tarEntry{Header: tar.Header{Name: "hard", Typeflag: tar.TypeLink, Linkname: "hello"}},
		tarEntry{Header: tar.Header{Name: "soft", Typeflag: tar.TypeSymlink, Linkname: "../../etc/passwd"}},
	)
}

func zstandard(t testing.TB, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(data, nil)
}

func put(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := t.TempDir() + "/" + name
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBundleOfTar(t *testing.T) {
	plain := sampleTar(t)
	var key string
	var first []byte
	skippable := []byte("\x50\x2A\x4D\x18\x04\x00\x00\x00abcd")
	for name, data := range map[string][]byte{
		"a.tar": plain, "b.tgz": gzipped(t, plain), "c.tar.zst": zstandard(t, plain), "named.wrong.zip": gzipped(t, plain),
		"as-pzstd-does.tar.zst": append(skippable, zstandard(t, plain)...), "off-a-tape.tgz": append(gzipped(t, plain), make([]byte, 512)...),
	} {
		d := newDisks(t, nil)
		image, digest, err := d.Bundle(t.Context(), from(put(t, name, data)), "", nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		fsck(t, image.Path)
		content, err := os.ReadFile(image.Path)
		if err != nil {
			t.Fatal(err)
		}
		if key == "" {
			key, first = image.Key, content
		}
		if image.Key != key || !bytes.Equal(content, first) {
			t.Errorf("%s gives another disk", name)
		}
		if digest.Entries != 5 || digest.Bytes != 100_005 {
			t.Errorf("%s: %+v", name, digest)
		}
		if image.Size != 2<<20 || image.Size%512 != 0 {
			t.Errorf("%s: %d bytes", name, image.Size)
		}
	}
	x, err := read.Open(bytes.NewReader(first), int64(len(first)))
	if err != nil {
		t.Fatal(err)
	}
	n, err := x.Resolve("hard", false)
	if err != nil || n.Mode != ext4.ModeRegular|0o4755 || n.UID != 70000 || n.Links != 2 || n.Mtime.Unix() != 1e9 {
		t.Errorf("%+v, %v", n, err)
	}
	if root, err := x.Root(); err != nil || root.UID != 7 || root.Mode != ext4.ModeDir|0o750 {
		t.Errorf("%+v, %v", root, err)
	}
	if n, err := x.Resolve(".wh.kept", false); err != nil || n.Size != 100_000 {
		t.Errorf("%+v, %v", n, err)
	}
}

func TestBadSources(t *testing.T) {
	plain := sampleTar(t)
	zipped := gzipped(t, plain)
	flipped := bytes.Clone(zipped)
	flipped[len(flipped)-6] ^= 1 // in the checksum
	for name, c := range map[string]struct {
		data  []byte
		class error
		text  string
	}{
		"cut.tar":      {plain[:70_000], driver.ErrCorrupt, `entry ".wh.kept": corrupt: it ends too early`},
		"unended.tar":  {plain[:len(plain)-1024], driver.ErrCorrupt, "ends without an end mark"},
		"cut.tgz":      {zipped[:len(zipped)-100], driver.ErrCorrupt, "its gzip stream ends too early"},
		"flipped.tgz":  {flipped, driver.ErrCorrupt, "gzip"},
		"cut.zst":      {zstandard(t, plain)[:150], driver.ErrCorrupt, "its zstd stream ends too early"},
		"behind.tgz":   {append(gzipped(t, plain), "rest"...), driver.ErrCorrupt, "behind the end of its gzip stream are other bytes"},
		"long.tar.zst": {[]byte{0x28, 0xB5, 0x2F, 0xFD, 0, 18 << 3, 9, 0, 0, 'x'}, driver.ErrUnsupported, "its window is larger than 128 MiB"},
		"empty.tar":    {nil, driver.ErrCorrupt, "it is empty"},
		"note.tar":     {[]byte("a note"), driver.ErrInvalid, "too short for a tar"},
		"text.tar":     {bytes.Repeat([]byte("text "), 300), driver.ErrInvalid, "neither a tar nor a tar in gzip or zstd"},
		"x.tar.xz":     {append([]byte("\xFD7zXZ\x00"), make([]byte, 600)...), driver.ErrUnsupported, "xz"},
		"dots.tar":     {tarOf(t, reg("ok", ""), reg("../escape", "x")), driver.ErrInvalid, `entry "../escape": invalid: .. in its path`},
		"absolute.tar": {tarOf(t, reg("/etc/passwd", "x")), driver.ErrInvalid, `entry "/etc/passwd"`},
		"device.tar":   {tarOf(t, tarEntry{Header: tar.Header{Name: "dev/sda", Typeflag: tar.TypeBlock}}), driver.ErrInvalid, `entry "dev/sda"`},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDisks(t, nil)
			path := put(t, name, c.data)
			for what, call := range map[string]func() error{
				"digest": func() error { _, err := d.DigestBundle(t.Context(), from(path), nil); return err },
				"make": func() error {
					_, _, err := d.Bundle(t.Context(), from(path), "sha256:"+strings.Repeat("0", 64), nil)
					return err
				},
			} {
				err := call()
				if !errors.Is(err, c.class) || !strings.Contains(fmt.Sprint(err), c.text) || !strings.Contains(fmt.Sprint(err), path) {
					t.Errorf("%s: %v", what, err)
				}
			}
			nothingLeft(t, d)
		})
	}
}

func nothingLeft(t testing.TB, d *Disks) {
	t.Helper()
	entries, err := os.ReadDir(d.state.DiskCache())
	if err != nil || len(entries) > 0 {
		t.Errorf("left in the cache: %v %v", entries, err)
	}
}

func TestSpecialFilesAreRefusedByName(t *testing.T) {
	d := newDisks(t, nil)
	for kind, mk := range map[string]func(path string) error{
		"FIFO": func(path string) error { return unix.Mkfifo(path, 0o600) },
		"socket": func(path string) error {
			l, err := net.Listen("unix", path)
			if err == nil {
				t.Cleanup(func() { l.Close() })
			}
			return err
		},
	} {
		dir, err := os.MkdirTemp("", "b")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		write(t, dir+"/sub/fine", "", 0o644)
		if err := mk(dir + "/sub/odd"); err != nil {
			t.Fatal(err)
		}
		_, err = d.DigestBundle(t.Context(), from(dir), nil)
		want := "pack sub/odd: it is a " + kind
		if !errors.Is(err, driver.ErrInvalid) || !strings.Contains(fmt.Sprint(err), want) || driver.Next(err) != "exclude: [odd], or remove it" {
			t.Errorf("%s: %v, next: %s", kind, err, driver.Next(err))
		}
		_, err = d.DigestBundle(t.Context(), from(dir+"/sub/odd"), nil)
		if !errors.Is(err, driver.ErrInvalid) || driver.Next(err) != "name a folder, or a file with a tar in it" {
			t.Errorf("%s as a source: %v, next: %s", kind, err, driver.Next(err))
		}
		if _, err := d.DigestBundle(t.Context(), from(dir, "o?d"), nil); err != nil {
			t.Errorf("%s left out: %v", kind, err)
		}
	}
	if _, err := d.DigestBundle(t.Context(), from(t.TempDir()+"/none"), nil); !errors.Is(err, driver.ErrNotFound) {
		t.Errorf("a source that is not there: %v", err)
	}
	if _, err := d.DigestBundle(t.Context(), from("/dev/null"), nil); !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("a device as a source: %v", err)
	}
	if _, err := d.DigestBundle(t.Context(), from(t.TempDir(), "["), nil); !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("a bad pattern: %v", err)
	}
}

func TestDigestSeesWhatMatters(t *testing.T) {
	d := newDisks(t, nil)
	digest := func(change func(dir string) error, exclude ...string) string {
		t.Helper()
		dir := t.TempDir()
		tree(t, dir)
		if err := change(dir); err != nil {
			t.Fatal(err)
		}
		got, err := d.DigestBundle(t.Context(), from(dir, exclude...), nil)
		if err != nil {
			t.Fatal(err)
		}
		return got.Fingerprint.Digest
	}
	base := digest(func(string) error { return nil })
	for name, c := range map[string]struct {
		change  func(dir string) error
		exclude []string
		same    bool
	}{
		"group and other bits": {func(dir string) error { return os.Chmod(dir+"/hello.txt", 0o666) }, nil, true},
		"directory mode":       {func(dir string) error { return os.Chmod(dir+"/bin", 0o700) }, nil, true},
		"git":                  {func(dir string) error { return os.WriteFile(dir+"/.git/x", nil, 0o600) }, nil, true},
		"git in another case":  {func(dir string) error { return os.Mkdir(dir+"/sub/.GiT", 0o755) }, nil, true},
		"a bare repository": {func(dir string) error {
			return errors.Join(os.MkdirAll(dir+"/bare/objects", 0o755), os.Mkdir(dir+"/bare/refs", 0o755), os.WriteFile(dir+"/bare/HEAD", nil, 0o644))
		}, nil, false},
		"excluded":        {func(dir string) error { return os.WriteFile(dir+"/sub/a.tmp", nil, 0o600) }, []string{"*.tmp"}, true},
		"content":         {func(dir string) error { return os.WriteFile(dir+"/hello.txt", []byte("Hello\n"), 0o644) }, nil, false},
		"executable":      {func(dir string) error { return os.Chmod(dir+"/hello.txt", 0o755) }, nil, false},
		"name":            {func(dir string) error { return os.Rename(dir+"/hello.txt", dir+"/hello") }, nil, false},
		"empty directory": {func(dir string) error { return os.Mkdir(dir+"/new", 0o755) }, nil, false},
		"target": {func(dir string) error {
			return errors.Join(os.Remove(dir+"/sub/link"), os.Symlink("../bin", dir+"/sub/link"))
		}, nil, false},
	} {
		if got := digest(c.change, c.exclude...); (got == base) != c.same {
			t.Errorf("%s: same digest %v", name, got == base)
		}
	}
}

// watchedTree hands each open file to opened.
type watchedTree struct {
	driver.Tree
	opened func(*os.File)
}

func (w watchedTree) Open(name string) (*os.File, error) {
	f, err := w.Tree.Open(name)
	if err == nil {
		w.opened(f)
	}
	return f, err
}

// countingFiles counts opened regular files.
type countingFiles struct {
	hostFiles
	opened *int
}

func (c countingFiles) count(f *os.File) {
	if st, err := f.Stat(); err == nil && st.Mode().IsRegular() {
		*c.opened++
	}
}

func (c countingFiles) Open(name string) (*os.File, error) {
	f, err := os.Open(name)
	if err == nil {
		c.count(f)
	}
	return f, err
}

func (c countingFiles) Sub(name string) (driver.Tree, error) {
	t, err := c.hostFiles.Sub(name)
	return watchedTree{t, c.count}, err
}

func TestFingerprint(t *testing.T) {
	d := newDisks(t, nil)
	dir := t.TempDir()
	tree(t, dir)
	opened := 0
	for _, path := range []string{dir, put(t, "x.tar", sampleTar(t))} {
		src := driver.BundleSource{Files: countingFiles{opened: &opened}, Path: path}
		first, err := d.DigestBundle(t.Context(), src, nil)
		if err != nil {
			t.Fatal(err)
		}
		fresh, known := first.Fingerprint, first.Fingerprint
		known.Taken += int64(time.Hour) // as if it had been read an hour after the last change
		look := func(f driver.Fingerprint) (driver.BundleDigest, bool) {
			t.Helper()
			opened = 0
			got, err := d.DigestBundle(t.Context(), src, &f)
			if err != nil || got.Fingerprint.Digest == "" {
				t.Fatal(err)
			}
			return got, opened == 0
		}
		if _, short := look(fresh); short {
			t.Errorf("%s: trusts what was changed just before it was read", path)
		}
		got, short := look(known)
		if !short || got.Fingerprint != known || got.Entries != first.Entries || got.Bytes != first.Bytes {
			t.Errorf("%s: reads again, or differs: %+v %+v", path, got, first)
		}
		other := known
		other.Stat = strings.Replace(other.Stat, "v1", "v0", 1)
		if _, short := look(other); short {
			t.Errorf("%s: trusts another form", path)
		}
	}
	known, err := d.DigestBundle(t.Context(), from(dir), nil)
	if err != nil {
		t.Fatal(err)
	}
	known.Fingerprint.Taken += int64(time.Hour)
	st, err := os.Stat(dir + "/hello.txt")
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/hello.txt", "HELLO\n", 0o640)
	if err := os.Chtimes(dir+"/hello.txt", st.ModTime(), st.ModTime()); err != nil {
		t.Fatal(err)
	}
	got, err := d.DigestBundle(t.Context(), from(dir), &known.Fingerprint)
	if err != nil || got.Fingerprint.Digest == known.Fingerprint.Digest {
		t.Errorf("a change with its mtime put back is not seen: %v", err)
	}
}

// growing is a source whose file changes after it was looked at.
type growing struct{ hostFiles }

func (growing) Sub(name string) (driver.Tree, error) {
	t, err := hostFiles{}.Sub(name)
	return watchedTree{t, func(f *os.File) {
		if strings.HasSuffix(f.Name(), "hello.txt") {
			_ = os.WriteFile(f.Name(), []byte("another length"), 0o644)
		}
	}}, err
}

func TestSourceThatChangesWhileRead(t *testing.T) {
	d := newDisks(t, nil)
	dir := t.TempDir()
	tree(t, dir)
	_, err := d.DigestBundle(t.Context(), driver.BundleSource{Files: growing{}, Path: dir}, nil)
	if !errors.Is(err, driver.ErrStale) || !strings.Contains(fmt.Sprint(err), "hello.txt changed while it was read") {
		t.Errorf("got %v", err)
	}
}

// hidingGit says of what is called meta that it is a git folder.
type hidingGit struct{ hostFiles }

func (hidingGit) Sub(name string) (driver.Tree, error) {
	t, err := hostFiles{}.Sub(name)
	return judgedTree{t}, err
}

type judgedTree struct{ driver.Tree }

func (j judgedTree) Lstat(name string) (fs.FileInfo, error) {
	if path.Base(name) == "meta" {
		return nil, &fs.PathError{Op: "open", Path: name, Err: driver.ErrGitFolder}
	}
	return j.Tree.Lstat(name)
}

func TestAGitFolderOfAnotherNameIsLeftOut(t *testing.T) {
	d := newDisks(t, nil)
	dir := t.TempDir()
	tree(t, dir)
	src := driver.BundleSource{Files: hidingGit{}, Path: dir}
	before, err := d.DigestBundle(t.Context(), src, nil)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/sub/meta/HEAD", "x", 0o644)
	after, err := d.DigestBundle(t.Context(), src, nil)
	if err != nil || after.Fingerprint.Digest != before.Fingerprint.Digest {
		t.Errorf("%+v, %v; before %+v", after, err, before)
	}
}

func TestASourceThatCannotBeOpenedSaysWhatToDo(t *testing.T) {
	d := newDisks(t, nil)
	loop := t.TempDir() + "/loop"
	if err := os.Symlink("loop", loop); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{t.TempDir() + "/none", loop} {
		if _, err := d.DigestBundle(t.Context(), from(name), nil); err == nil || driver.Next(err) == "" {
			t.Errorf("%s: %v; next: %s", name, err, driver.Next(err))
		}
	}
}
