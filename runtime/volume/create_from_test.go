package volume

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
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
