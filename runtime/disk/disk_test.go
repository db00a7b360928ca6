package disk

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/schema/quantity"
)

// hostFiles opens anything, as the command line does.
type hostFiles struct{}

func (hostFiles) Open(name string) (*os.File, error)     { return os.Open(name) }
func (hostFiles) Stat(name string) (fs.FileInfo, error)  { return os.Stat(name) }
func (hostFiles) Lstat(name string) (fs.FileInfo, error) { return os.Lstat(name) }
func (hostFiles) Readlink(name string) (string, error)   { return os.Readlink(name) }
func (hostFiles) Sub(name string) (driver.Tree, error)   { return os.OpenRoot(name) }
func (hostFiles) Resolve(name string) string             { return name }

// tarLayers are layers that lie in memory.
type tarLayers [][]byte

func (l tarLayers) Len() int           { return len(l) }
func (l tarLayers) Close() error       { return nil }
func (l tarLayers) Whiteouts(int) bool { return true }
func (l tarLayers) Open(_ context.Context, i int) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(l[i])), nil
}
func (l tarLayers) Layers(context.Context, string) (driver.Layers, error) { return l, nil }

func newDisks(t testing.TB, images LayerSource) *Disks {
	t.Helper()
	state := layout.State{Dir: filepath.Join(t.TempDir(), "state")}
	if err := state.Prepare("test"); err != nil {
		t.Fatal(err)
	}
	return New(state, images)
}

func from(path string, exclude ...string) driver.BundleSource {
	return driver.BundleSource{Files: hostFiles{}, Path: path, Exclude: exclude}
}

func fsck(t testing.TB, path string) {
	t.Helper()
	tool, err := exec.LookPath("e2fsck")
	if err != nil {
		if tool, err = exec.LookPath("/sbin/e2fsck"); err != nil {
			t.Skip("e2fsck (e2fsprogs) is not installed")
		}
	}
	if out, err := exec.Command(tool, "-fn", path).CombinedOutput(); err != nil {
		t.Errorf("e2fsck -fn %s: %v\n%.4000s", path, err, out)
	}
}

func write(t testing.TB, path, content string, mode fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func tree(t testing.TB, dir string) {
	t.Helper()
	write(t, dir+"/hello.txt", "hello\n", 0o640)
	write(t, dir+"/bin/run", "#!/bin/sh\n", 0o700)
	write(t, dir+"/.git/HEAD", dir, 0o644)
	write(t, dir+"/sub/.git", dir, 0o644)
	write(t, dir+"/empty", "", 0o444)
	if err := os.Symlink("../bin/run", dir+"/sub/link"); err != nil {
		t.Fatal(err)
	}
}

func TestBundleOfDirectory(t *testing.T) {
	d := newDisks(t, nil)
	a, b := t.TempDir(), t.TempDir()
	tree(t, a)
	tree(t, b)
	old := time.Unix(1e9, 0)
	if err := os.Chtimes(b+"/hello.txt", old, old); err != nil {
		t.Fatal(err)
	}
	digest, err := d.DigestBundle(t.Context(), from(a), nil)
	if err != nil {
		t.Fatal(err)
	}
	if digest.Entries != 6 || digest.Bytes != 16 {
		t.Errorf("counted %+v", digest)
	}
	if _, err := d.FindBundle(t.Context(), digest.Fingerprint.Digest); !errors.Is(err, driver.ErrNotFound) {
		t.Errorf("found before it was made: %v", err)
	}
	image, got, err := d.Bundle(t.Context(), from(a), digest.Fingerprint.Digest, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.Fingerprint.Digest != digest.Fingerprint.Digest {
		t.Error("digest differs between looking and making")
	}
	fsck(t, image.Path)
	first, err := os.ReadFile(image.Path)
	if err != nil {
		t.Fatal(err)
	}
	other := newDisks(t, nil)
	second, got, err := other.Bundle(t.Context(), from(b), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.Fingerprint.Digest != digest.Fingerprint.Digest || second.Key != image.Key {
		t.Error("two clones differ")
	}
	if data, _ := os.ReadFile(second.Path); !bytes.Equal(first, data) {
		t.Error("two builds differ in their bytes")
	}
	write(t, b+"/hello.txt", "hallo\n", 0o644)
	if _, _, err := other.Bundle(t.Context(), from(b), digest.Fingerprint.Digest, nil); !errors.Is(err, driver.ErrStale) {
		t.Errorf("a changed source gives %v", err)
	}
}

// The least that a manifest may ask for is what a file system can be made in.
func TestEmptyOfLeastSize(t *testing.T) {
	d := newDisks(t, nil)
	path := d.state.VolumeImage("data")
	if err := d.Empty(t.Context(), driver.EmptySpec{Size: quantity.MinDisk.Bytes()}, path); err != nil {
		t.Fatal(err)
	}
	fsck(t, path)
	less := driver.EmptySpec{Size: (quantity.MinDisk - quantity.MiB).Bytes()}
	if err := d.Empty(t.Context(), less, d.state.VolumeImage("less")); !errors.Is(err, driver.ErrNoSpace) {
		t.Errorf("a MiB less: %v", err)
	}
}

func TestEmpty(t *testing.T) {
	d := newDisks(t, nil)
	path := d.state.VolumeImage("data")
	if err := d.Empty(t.Context(), driver.EmptySpec{Size: 512 << 20, Label: "data"}, path); err != nil {
		t.Fatal(err)
	}
	fsck(t, path)
	if st, err := os.Stat(path); err != nil || st.Size() != 512<<20 || layout.Allocated(st) > 200<<10 {
		t.Errorf("size %d, allocated %d, %v", st.Size(), layout.Allocated(st), err)
	}
	if err := d.Empty(t.Context(), driver.EmptySpec{Size: 512 << 20}, path); !errors.Is(err, driver.ErrExists) {
		t.Errorf("second time: %v", err)
	}
	if err := d.Empty(t.Context(), driver.EmptySpec{Size: 1 << 20}, d.state.VolumeImage("tiny")); !errors.Is(err, driver.ErrNoSpace) {
		t.Errorf("1 MiB: %v", err)
	}
}

// tarOf makes a tar of headers; a regular file's content is its Linkname's place taken by body.
func tarOf(t testing.TB, entries ...tarEntry) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range entries {
		h := e.Header
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		h.Size = int64(len(e.body))
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

type tarEntry struct {
	tar.Header
	body string
}

func reg(name, body string) tarEntry { return tarEntry{tar.Header{Name: name}, body} }

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestRootFS(t *testing.T) {
	layers := tarLayers{
		tarOf(t, tarEntry{Header: tar.Header{Name: "usr/bin/", Typeflag: tar.TypeDir, Mode: 0o755}},
			tarEntry{Header: tar.Header{Name: "bin", Typeflag: tar.TypeSymlink, Linkname: "usr/bin"}},
			reg("bin/sh", "old"), reg("etc/gone", "x")),
		tarOf(t, reg("bin/sh", "new"), reg("etc/.wh.gone", "")),
	}
	d := newDisks(t, layers)
	spec := driver.RootFSSpec{ImageDigest: "sha256:1", Size: 256 << 20}
	image, err := d.RootFS(t.Context(), spec, nil)
	if err != nil {
		t.Fatal(err)
	}
	fsck(t, image.Path)
	path := d.state.VolumeImage("copy")
	if err := d.Place(t.Context(), image.Key, path); err != nil {
		t.Fatal(err)
	}
	fsck(t, path)
	if err := d.Place(t.Context(), image.Key, path); !errors.Is(err, driver.ErrExists) {
		t.Errorf("second place: %v", err)
	}
	if _, err := d.RootFS(t.Context(), driver.RootFSSpec{ImageDigest: "sha256:2", Size: 1 << 20}, nil); !errors.Is(err, driver.ErrNoSpace) || driver.Next(err) == "" {
		t.Errorf("too small: %v", err)
	}
	_, removed, err := d.Prune(t.Context(), map[string]bool{image.Key: true}, false)
	if err != nil || len(removed) != 0 {
		t.Errorf("pruned %v, %v", removed, err)
	}
	_, removed, err = d.Prune(t.Context(), nil, true)
	if fmt.Sprint(removed) != fmt.Sprint([]string{image.Key}) || err != nil {
		t.Errorf("would prune %v, %v", removed, err)
	}
}
