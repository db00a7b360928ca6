package drivertest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"microagent/runtime/driver"
)

// ImageSources are what the suite of driver.Images works with.
type ImageSources struct {
	// Here can be pulled. Its config has an environment and a command, and it has at least one layer.
	Here driver.ImageSource
	// Gone reads well, and nobody has it.
	Gone driver.ImageSource
}

// Images checks an implementation of driver.Images. open gives an empty one.
func Images(t *testing.T, open func(t *testing.T) (driver.Images, ImageSources)) {
	const zeros = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
	t.Run("empty", func(t *testing.T) {
		im, src := open(t)
		if list, err := im.List(t.Context()); err != nil || len(list) != 0 {
			t.Errorf("List: %v, %v", list, err)
		}
		_, err := im.Get(t.Context(), zeros)
		wantClass(t, err, driver.ErrNotFound)
		_, err = im.Layers(t.Context(), zeros)
		wantClass(t, err, driver.ErrNotFound)
		wantClass(t, im.Remove(t.Context(), src.Here.Ref), driver.ErrNotFound)
	})
	t.Run("bad references", func(t *testing.T) {
		im, src := open(t)
		for _, ref := range []string{"", "UPPER CASE", "a/b:c:d:e", "oci:", "alpine@sha256:12"} {
			bad := driver.ImageSource{Ref: ref, Files: src.Here.Files}
			_, err := im.Find(t.Context(), bad)
			wantClass(t, err, driver.ErrInvalid)
			_, err = im.Head(t.Context(), bad)
			wantClass(t, err, driver.ErrInvalid)
			_, err = im.Pull(t.Context(), bad, "", nil)
			wantClass(t, err, driver.ErrInvalid)
		}
	})
	t.Run("pull", func(t *testing.T) {
		im, src := open(t)
		head, err := im.Head(t.Context(), src.Here)
		must(t, err)
		var reports int
		got, err := im.Pull(t.Context(), src.Here, head.Digest, func(string, int64, int64) { reports++ })
		must(t, err)
		if got.Digest != head.Digest || got.From != "store" || got.Ref != head.Ref || got.Size <= 0 || reports == 0 {
			t.Errorf("Pull: %+v after Head: %+v, %d reports", got, head, reports)
		}
		if len(got.Config.Env) == 0 || len(got.Config.Cmd) == 0 {
			t.Errorf("config: %+v", got.Config)
		}
		again, err := im.Pull(t.Context(), src.Here, "", nil)
		if err != nil || again.Digest != got.Digest {
			t.Errorf("again: %+v, %v", again, err)
		}
		found, err := im.Find(t.Context(), src.Here)
		if err != nil || found.Digest != got.Digest || found.From == "registry" {
			t.Errorf("Find: %+v, %v", found, err)
		}
		byDigest, err := im.Get(t.Context(), got.Digest)
		if err != nil || byDigest.Digest != got.Digest || byDigest.Size != got.Size {
			t.Errorf("Get: %+v, %v", byDigest, err)
		}
		list, err := im.List(t.Context())
		if err != nil || len(list) != 1 || list[0].Digest != got.Digest {
			t.Errorf("List: %+v, %v", list, err)
		}
	})
	t.Run("layers", func(t *testing.T) {
		im, src := open(t)
		got, err := im.Pull(t.Context(), src.Here, "", nil)
		must(t, err)
		layers, err := im.Layers(t.Context(), got.Digest)
		must(t, err)
		defer layers.Close()
		if layers.Len() == 0 {
			t.Fatal("no layers")
		}
		read := func() (list [][]byte) {
			for i := range layers.Len() {
				r, err := layers.Open(t.Context(), i)
				must(t, err)
				data, err := io.ReadAll(r)
				must(t, err)
				must(t, r.Close())
				list = append(list, data)
			}
			return list
		}
		first := read()
		if len(first[0]) == 0 || !slices.EqualFunc(first, read(), bytes.Equal) {
			t.Error("a second reading gives other bytes")
		}
		if _, err := layers.Open(t.Context(), layers.Len()); err == nil {
			t.Error("a layer that is not there opens")
		}
	})
	t.Run("another digest", func(t *testing.T) {
		im, src := open(t)
		_, err := im.Pull(t.Context(), src.Here, zeros, nil)
		wantClass(t, err, driver.ErrStale)
		if list, err := im.List(t.Context()); err != nil || len(list) != 0 {
			t.Errorf("List: %v, %v", list, err)
		}
	})
	t.Run("gone", func(t *testing.T) {
		im, src := open(t)
		_, err := im.Pull(t.Context(), src.Gone, "", nil)
		if err == nil || driver.Next(err) == "" {
			t.Errorf("%v does not say what to do", err)
		}
		if _, err := im.Head(t.Context(), src.Gone); err == nil {
			t.Error("Head finds it")
		}
	})
	t.Run("remove", func(t *testing.T) {
		im, src := open(t)
		got, err := im.Pull(t.Context(), src.Here, "", nil)
		must(t, err)
		list, err := im.List(t.Context())
		must(t, err)
		must(t, im.Remove(t.Context(), list[0].Ref))
		wantClass(t, im.Remove(t.Context(), list[0].Ref), driver.ErrNotFound)
		_, err = im.Get(t.Context(), got.Digest)
		wantClass(t, err, driver.ErrNotFound)
		back, err := im.Pull(t.Context(), src.Here, got.Digest, nil)
		if err != nil || back.Digest != got.Digest {
			t.Errorf("pull after remove: %+v, %v", back, err)
		}
	})
	t.Run("prune", func(t *testing.T) {
		im, src := open(t)
		got, err := im.Pull(t.Context(), src.Here, "", nil)
		must(t, err)
		naming := func(digests ...string) func() (map[string]bool, error) {
			return func() (map[string]bool, error) {
				used := map[string]bool{}
				for _, d := range digests {
					used[d] = true
				}
				return used, nil
			}
		}
		if freed, names, err := im.Prune(t.Context(), naming(got.Digest), false); err != nil || freed != 0 || len(names) != 0 {
			t.Errorf("of what is used: %d, %v, %v", freed, names, err)
		}
		release, err := im.Use(t.Context())
		must(t, err)
		other, err := im.Use(t.Context())
		must(t, err)
		other()
		_, _, err = im.Prune(t.Context(), naming(), false)
		wantClass(t, err, driver.ErrLocked)
		if freed, names, err := im.Prune(t.Context(), naming(), true); err != nil || freed <= 0 || len(names) != 1 {
			t.Errorf("dry, while it is used: %d, %v, %v", freed, names, err)
		}
		release()
		broken := errors.New("a record can't be read")
		if _, _, err := im.Prune(t.Context(), func() (map[string]bool, error) { return nil, broken }, false); !errors.Is(err, broken) {
			t.Errorf("where it is not known what is used: %v", err)
		}
		_, err = im.Get(t.Context(), got.Digest)
		must(t, err)
		if freed, names, err := im.Prune(t.Context(), naming(), false); err != nil || freed <= 0 || len(names) != 1 {
			t.Errorf("of what nothing uses: %d, %v, %v", freed, names, err)
		}
		_, err = im.Get(t.Context(), got.Digest)
		wantClass(t, err, driver.ErrNotFound)
		if freed, names, err := im.Prune(t.Context(), naming(), false); err != nil || freed != 0 || len(names) != 0 {
			t.Errorf("once more: %d, %v, %v", freed, names, err)
		}
	})
}

// DirFiles is driver.Files that can't leave a directory.
type DirFiles struct{ *os.Root }

// NewDirFiles opens dir for the test.
func NewDirFiles(t testing.TB, dir string) DirFiles {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return DirFiles{root}
}

// Resolve is the host path of name.
func (f DirFiles) Resolve(name string) string { return filepath.Join(f.Name(), name) }

// Sub opens a folder.
func (f DirFiles) Sub(name string) (driver.Tree, error) { return f.OpenRoot(name) }

var _ driver.Files = DirFiles{}

// FakeImage is an image that a FakeImages can pull.
type FakeImage struct {
	Config driver.ImageConfig
	Layers [][]byte // uncompressed tar streams
}

func (f FakeImage) digest() string { return fakeDigest(f) }

// FakeImages is driver.Images in memory.
type FakeImages struct {
	// Remote are the images that can be pulled, by reference as it is written. Change it between calls only.
	Remote map[string]FakeImage

	mu    sync.Mutex
	names map[string]string
	store map[string]FakeImage
	users int // of Use
}

var _ driver.Images = (*FakeImages)(nil)

func (f *FakeImages) image(ref, digest, from string, img FakeImage) driver.Image {
	size := int64(1)
	for _, l := range img.Layers {
		size += int64(len(l))
	}
	return driver.Image{Ref: ref, Digest: digest, Size: size, From: from, Config: img.Config}
}

// Use keeps Prune off.
func (f *FakeImages) Use(context.Context) (func(), error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.users++
	return sync.OnceFunc(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.users--
	}), nil
}

// Prune forgets what nothing uses.
func (f *FakeImages) Prune(_ context.Context, keep func() (map[string]bool, error), dry bool) (freed int64, names []string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.users > 0 && !dry {
		return 0, nil, f.fail(driver.ErrLocked, "image store")
	}
	used, err := keep()
	if err != nil {
		return 0, nil, err
	}
	gone := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(f.names)) {
		digest := f.names[name]
		if used[digest] {
			continue
		}
		names = append(names, name)
		if !gone[digest] {
			freed += f.image(name, digest, "store", f.store[digest]).Size
		}
		gone[digest] = true
		if !dry {
			delete(f.names, name)
		}
	}
	for digest := range gone {
		if !dry {
			delete(f.store, digest)
		}
	}
	return freed, names, nil
}

func (f *FakeImages) fail(class error, ref string) error {
	return &driver.Error{Class: class, Op: "use image", Object: ref, Next: "name another image"}
}

// Find answers from what was pulled.
func (f *FakeImages) Find(_ context.Context, src driver.ImageSource) (driver.Image, error) {
	if !fakeRef(src.Ref) {
		return driver.Image{}, f.fail(driver.ErrInvalid, src.Ref)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	d, ok := f.names[src.Ref]
	if !ok {
		return driver.Image{}, f.fail(driver.ErrNotFound, src.Ref)
	}
	return f.image(src.Ref, d, "store", f.store[d]), nil
}

// Head answers from Remote.
func (f *FakeImages) Head(_ context.Context, src driver.ImageSource) (driver.Image, error) {
	if !fakeRef(src.Ref) {
		return driver.Image{}, f.fail(driver.ErrInvalid, src.Ref)
	}
	img, ok := f.Remote[src.Ref]
	if !ok {
		return driver.Image{}, f.fail(driver.ErrNotFound, src.Ref)
	}
	return driver.Image{Ref: src.Ref, Digest: img.digest(), From: "registry"}, nil
}

// Pull takes from Remote what was not pulled yet.
func (f *FakeImages) Pull(ctx context.Context, src driver.ImageSource, want string, p driver.Progress) (driver.Image, error) {
	if img, err := f.Find(ctx, src); err == nil && (want == "" || want == img.Digest) {
		return img, nil
	}
	head, err := f.Head(ctx, src)
	if err != nil {
		return driver.Image{}, err
	}
	if want != "" && want != head.Digest {
		return driver.Image{}, f.fail(driver.ErrStale, src.Ref)
	}
	p.Report("pull "+src.Ref, 1, 1)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.names == nil {
		f.names, f.store = map[string]string{}, map[string]FakeImage{}
	}
	f.names[src.Ref] = head.Digest
	f.store[head.Digest] = f.Remote[src.Ref]
	return f.image(src.Ref, head.Digest, "store", f.store[head.Digest]), nil
}

// Get gives an image that was pulled.
func (f *FakeImages) Get(_ context.Context, digest string) (driver.Image, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	img, ok := f.store[digest]
	if !ok {
		return driver.Image{}, f.fail(driver.ErrNotFound, digest)
	}
	ref := ""
	for name, d := range f.names {
		if d == digest && (ref == "" || name < ref) {
			ref = name
		}
	}
	return f.image(ref, digest, "store", img), nil
}

// Layers gives the layers of an image that was pulled.
func (f *FakeImages) Layers(_ context.Context, digest string) (driver.Layers, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	img, ok := f.store[digest]
	if !ok {
		return nil, f.fail(driver.ErrNotFound, digest)
	}
	return fakeLayers(img.Layers), nil
}

// List gives the images that were pulled, by name.
func (f *FakeImages) List(context.Context) ([]driver.Image, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []driver.Image
	for _, name := range slices.Sorted(maps.Keys(f.names)) {
		list = append(list, f.image(name, f.names[name], "store", f.store[f.names[name]]))
	}
	return list, nil
}

// Remove forgets a name, and the image that only it held.
func (f *FakeImages) Remove(_ context.Context, ref string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	d, ok := f.names[ref]
	if !ok {
		return f.fail(driver.ErrNotFound, ref)
	}
	delete(f.names, ref)
	if !slices.Contains(slices.Collect(maps.Values(f.names)), d) {
		delete(f.store, d)
	}
	return nil
}

// fakeRef tells references that nobody could read.
func fakeRef(ref string) bool {
	if ref == "" || ref == "oci:" || bytes.ContainsAny([]byte(ref), " ") {
		return false
	}
	name, digest, ok := bytes.Cut([]byte(ref), []byte("@sha256:"))
	return (!ok || len(digest) == 64) && bytes.Count(name, []byte(":")) < 3
}

type fakeLayers [][]byte

func (l fakeLayers) Len() int { return len(l) }

func (l fakeLayers) Whiteouts(int) bool { return true }

func (l fakeLayers) Open(_ context.Context, i int) (io.ReadCloser, error) {
	if i >= len(l) {
		return nil, errors.New("no such layer")
	}
	return io.NopCloser(bytes.NewReader(l[i])), nil
}

func (l fakeLayers) Close() error { return nil }
