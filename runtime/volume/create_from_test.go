package volume

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"microagent/runtime/disk/ext4/read"
	"microagent/runtime/disk/sparse"
	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/tartree"
)

// folder is a driver.Files without bounds.
type folder struct {
	driver.Files
	dir string
}

func (f folder) Open(name string) (*os.File, error) { return os.Open(filepath.Join(f.dir, name)) }

// TestCreateOfAFile: what is whole and fits becomes the volume, with an identity of its own; of the rest there is none.
func TestCreateOfAFile(t *testing.T) {
	s := ours(t)
	v := withFile(t, s, "data", "hello")
	files := folder{dir: t.TempDir()}
	image, err := os.ReadFile(v.Path)
	if err != nil {
		t.Fatal(err)
	}
	var packed, tarred bytes.Buffer
	for form, to := range map[driver.ExportForm]*bytes.Buffer{driver.ExportImage: &packed, driver.ExportTar: &tarred} {
		if _, err := s.Export(t.Context(), "data", form, to); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string][]byte{"image": image, "packed": packed.Bytes(), "tar": tarred.Bytes(),
		"cut": packed.Bytes()[:packed.Len()/2], "noise": []byte(strings.Repeat("noise", 1000)), "empty": nil} {
		if err := os.WriteFile(filepath.Join(files.dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{uuidOf(t, v.Path): true}
	for name, c := range map[string]struct {
		size int64
		next string // of the error; "" makes it
	}{
		"image": {v.Size + 8<<20, ""}, "packed": {v.Size, ""}, "tar": {16 << 20, ""},
		"none": {v.Size, "-"}, "cut": {v.Size, "get a whole copy"}, "noise": {v.Size, "give an image"}, "empty": {v.Size, "give an image"},
	} {
		spec := driver.VolumeSpec{Name: "p." + name, Project: "p", Size: c.size, Image: &driver.VolumeImage{Files: files, Path: name}}
		got, made, err := s.Create(t.Context(), spec)
		if c.next != "" {
			if err == nil || c.next != "-" && !strings.Contains(driver.Next(err), c.next) {
				t.Errorf("%s: %v, %s", name, err, driver.Next(err))
			} else if c.next != "-" && !strings.HasPrefix(err.Error(), "create volume "+spec.Name+": "+name+": ") {
				t.Errorf("%s is not named: %v", name, err)
			}
			if _, err := s.Get(t.Context(), spec.Name); !errors.Is(err, driver.ErrNotFound) {
				t.Errorf("%s is there: %v", name, err)
			}
			continue
		}
		if err != nil || !made || got.Size != c.size || got.Project != "p" {
			t.Fatalf("%s: %+v, %v", name, got, err)
		}
		if id := uuidOf(t, got.Path); seen[id] {
			t.Errorf("%s has the identity of another", name)
		} else {
			seen[id] = true
		}
		if c := fileOf(t, got.Path, "file"); c != "hello" {
			t.Errorf("%s holds %q", name, c)
		}
		if found, err := s.Check(t.Context(), spec.Name); err != nil || len(found) > 0 {
			t.Errorf("%s: %v, %v", name, found, err)
		}
		if _, made, err := s.Create(t.Context(), driver.VolumeSpec{Name: spec.Name, Project: "p", Size: c.size,
			Image: &driver.VolumeImage{Files: files, Path: "none"}}); made || err != nil {
			t.Errorf("%s again: %v, %v", name, made, err)
		}
	}
	small := driver.VolumeSpec{Name: "small", Size: 8 << 20, Image: &driver.VolumeImage{Files: files, Path: "packed"}}
	if _, _, err := s.Create(t.Context(), small); !errors.Is(err, driver.ErrRefused) || !strings.HasSuffix(driver.Next(err), "size: 16MiB") {
		t.Errorf("too small: %v, %s", err, driver.Next(err))
	}
}

// TestCreateOfABundle gives a volume the files of a finished disk, which stays as it is.
func TestCreateOfABundle(t *testing.T) {
	s := ours(t)
	v := withFile(t, s, "data", "hello")
	before, err := os.ReadFile(v.Path)
	if err != nil {
		t.Fatal(err)
	}
	got, made, err := s.Create(t.Context(), driver.VolumeSpec{Name: "p.tree", Project: "p", Size: 16 << 20, Bundle: v.Path})
	if err != nil || !made || got.Size != 16<<20 {
		t.Fatalf("%+v, %v", got, err)
	}
	if c := fileOf(t, got.Path, "file"); c != "hello" {
		t.Errorf("it holds %q", c)
	}
	if after, err := os.ReadFile(v.Path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the bundle changed: %v", err)
	}
	put(t, v.Path, "large", strings.Repeat("x", 7<<20))
	_, _, err = s.Create(t.Context(), driver.VolumeSpec{Name: "small", Size: 6 << 20, Bundle: v.Path})
	if err == nil || !strings.Contains(driver.Next(err), "size: ") {
		t.Errorf("too small: %v, %s", err, driver.Next(err))
	}
	if _, err := os.Stat(s.State.VolumeRecord("small")); err == nil {
		t.Error("a record is left")
	}
}

// TestCreateOfHoles: what a file has none of needs no room, from a tar and from a finished disk.
func TestCreateOfHoles(t *testing.T) {
	const size = 8 << 30
	s := ours(t)
	files := folder{dir: t.TempDir()}
	var packed bytes.Buffer
	w := tar.NewWriter(&packed)
	h := &tar.Header{Name: "holes", Mode: 0o644, Size: size, PAXRecords: map[string]string{"SCHILY.xattr.user.x": "kept"}}
	runs := []sparse.Run{{Offset: 1 << 30, Length: 5000}, {Offset: size - 5, Length: 5}}
	content := io.NewSectionReader(strings.NewReader(strings.Repeat("x", 5000)), 0, 5000)
	if err := tartree.WriteSparse(w, &packed, h, runs, shifted{content}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), os.WriteFile(filepath.Join(files.dir, "a.tar"), packed.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	one, _, err := s.Create(t.Context(), driver.VolumeSpec{Name: "p.one", Project: "p", Size: 16 << 20, Image: &driver.VolumeImage{Files: files, Path: "a.tar"}})
	if err != nil {
		t.Fatal(err)
	}
	two, _, err := s.Create(t.Context(), driver.VolumeSpec{Name: "p.two", Project: "p", Size: 16 << 20, Bundle: one.Path})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []driver.Volume{one, two} {
		if v, err := s.Get(t.Context(), v.Name); err != nil || v.Allocated > 2<<20 {
			t.Errorf("%s takes %d bytes, %v", v.Name, v.Allocated, err)
		}
		image, err := os.Open(v.Path)
		if err != nil {
			t.Fatal(err)
		}
		defer image.Close()
		fs, err := read.Open(image, v.Size)
		if err != nil {
			t.Fatal(err)
		}
		n, err := fs.Resolve("/holes", false)
		if err != nil {
			t.Fatal(err)
		}
		f, err := fs.File(n)
		if err != nil {
			t.Fatal(err)
		}
		attrs, err := fs.Xattrs(n)
		if err != nil || string(attrs["user.x"]) != "kept" {
			t.Errorf("%s: %q, %v", v.Name, attrs, err)
		}
		for at, want := range map[int64]string{0: "\x00\x00\x00\x00\x00", 1 << 30: "xxxxx", 1<<30 + 5000: "\x00\x00\x00\x00\x00", size - 5: "xxxxx"} {
			b := make([]byte, 5)
			if k, err := f.ReadAt(b, at); k != 5 || string(b) != want {
				t.Errorf("%s: %q at %d, %v", v.Name, b, at, err)
			}
		}
	}
}

// shifted has the same few bytes at each place.
type shifted struct{ *io.SectionReader }

func (s shifted) ReadAt(p []byte, _ int64) (int, error) { return s.SectionReader.ReadAt(p, 0) }

func uuidOf(t *testing.T, path string) string {
	t.Helper()
	f, err := layout.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	id, err := uuid(f)
	if err != nil {
		t.Fatal(err)
	}
	return id
}
