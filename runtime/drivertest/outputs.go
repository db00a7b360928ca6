package drivertest

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"sync"
	"testing"

	"microagent/runtime/driver"
)

// Entry is one entry of a tar stream.
type Entry struct {
	Name string
	Type byte // of archive/tar; 0 is a regular file
	Mode int64
	Data string
	Link string
}

// Tar gives the stream of entries.
func Tar(t testing.TB, entries ...Entry) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range entries {
		h := &tar.Header{Name: e.Name, Typeflag: e.Type, Mode: e.Mode, Linkname: e.Link, Size: int64(len(e.Data)), Format: tar.FormatPAX}
		if e.Type == 0 {
			h.Typeflag = tar.TypeReg
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatalf("tar entry %q: %v", e.Name, err)
		}
		if _, err := io.WriteString(w, e.Data); err != nil {
			t.Fatalf("tar entry %q: %v", e.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// Outputs checks an implementation of driver.Outputs.
func Outputs(t *testing.T, open func(t *testing.T) driver.Outputs) {
	target := func(t *testing.T, name string) driver.Target {
		root, err := os.OpenRoot(t.TempDir())
		must(t, err)
		t.Cleanup(func() { root.Close() })
		return driver.Target{Root: root, Path: name}
	}
	small := []Entry{
		{Name: "./", Type: tar.TypeDir, Mode: 0o700},
		{Name: "./count", Mode: 0o600, Data: "3\n"},
		{Name: "./bin/run", Mode: 0o4755, Data: "#!/bin/sh\n"},
		{Name: "./latest", Type: tar.TypeSymlink, Link: "bin/run"},
	}
	t.Run("directory", func(t *testing.T) {
		o, at := open(t), target(t, "out/dir")
		_, err := o.Digest(t.Context(), at)
		wantClass(t, err, driver.ErrNotFound)
		wantClass(t, o.Tar(t.Context(), at, io.Discard), driver.ErrNotFound)
		got, err := o.Publish(t.Context(), bytes.NewReader(Tar(t, small...)), at, 0)
		must(t, err)
		if got.Files != 2 || got.Bytes != 12 {
			t.Errorf("Publish: %+v", got)
		}
		digest, err := o.Digest(t.Context(), at)
		must(t, err)
		if digest != got.Digest {
			t.Errorf("Digest says %s, Publish %s", digest, got.Digest)
		}
		again, err := o.Publish(t.Context(), bytes.NewReader(Tar(t, small...)), at, 0)
		if err != nil || again != got {
			t.Errorf("again: %+v, %v", again, err)
		}
	})
	t.Run("file", func(t *testing.T) {
		o, at := open(t), target(t, "count")
		got, err := o.Publish(t.Context(), bytes.NewReader(Tar(t, Entry{Name: ".", Data: "3\n"})), at, 2)
		must(t, err)
		if got.Files != 1 || got.Bytes != 2 {
			t.Errorf("Publish: %+v", got)
		}
		other, err := o.Publish(t.Context(), bytes.NewReader(Tar(t, Entry{Name: ".", Data: "4\n"})), at, 2)
		must(t, err)
		digest, err := o.Digest(t.Context(), at)
		if err != nil || digest != other.Digest || digest == got.Digest {
			t.Errorf("Digest after a change: %s, %v", digest, err)
		}
	})
	t.Run("round trip", func(t *testing.T) {
		o, from, to := open(t), target(t, "a"), target(t, "b")
		first, err := o.Publish(t.Context(), bytes.NewReader(Tar(t, small...)), from, 0)
		must(t, err)
		var one, two bytes.Buffer
		must(t, o.Tar(t.Context(), from, &one))
		must(t, o.Tar(t.Context(), from, &two))
		if !bytes.Equal(one.Bytes(), two.Bytes()) {
			t.Error("Tar of one tree gives two streams")
		}
		second, err := o.Publish(t.Context(), &one, to, 0)
		must(t, err)
		if second.Digest != first.Digest {
			t.Errorf("the digest changed on the way: %s, %s", first.Digest, second.Digest)
		}
	})
	t.Run("what counts", func(t *testing.T) {
		base := []Entry{{Name: "f", Data: "x", Mode: 0o644}, {Name: "l", Type: tar.TypeSymlink, Link: "f"}}
		digest := func(entries ...Entry) string {
			t.Helper()
			got, err := open(t).Publish(t.Context(), bytes.NewReader(Tar(t, entries...)), target(t, "o"), 0)
			must(t, err)
			return got.Digest
		}
		want := digest(base...)
		for name, entries := range map[string][]Entry{
			"order":       {base[1], base[0]},
			"permissions": {{Name: "f", Data: "x", Mode: 0o600}, base[1]},
			"root named":  {{Name: ".", Type: tar.TypeDir}, {Name: "./f", Data: "x"}, base[1]},
		} {
			if digest(entries...) != want {
				t.Errorf("%s is part of the digest", name)
			}
		}
		for name, entries := range map[string][]Entry{
			"data":   {{Name: "f", Data: "y"}, base[1]},
			"x bit":  {{Name: "f", Data: "x", Mode: 0o755}, base[1]},
			"name":   {{Name: "g", Data: "x"}, base[1]},
			"link":   {base[0], {Name: "l", Type: tar.TypeSymlink, Link: "./f"}},
			"folder": {base[0], base[1], {Name: "d", Type: tar.TypeDir}},
		} {
			if digest(entries...) == want {
				t.Errorf("%s is not part of the digest", name)
			}
		}
	})
	t.Run("refused", func(t *testing.T) {
		for name, e := range map[string]Entry{
			"absolute":        {Name: "/etc/passwd"},
			"upwards":         {Name: "a/../../b"},
			"device":          {Name: "null", Type: tar.TypeChar},
			"block device":    {Name: "sda", Type: tar.TypeBlock},
			"fifo":            {Name: "pipe", Type: tar.TypeFifo},
			"absolute link":   {Name: "l", Type: tar.TypeSymlink, Link: "/etc/passwd"},
			"link upwards":    {Name: "l", Type: tar.TypeSymlink, Link: "../x"},
			"larger than all": {Name: "big", Data: string(make([]byte, 9000))},
		} {
			t.Run(name, func(t *testing.T) {
				o, at := open(t), target(t, "o")
				stream := Tar(t, Entry{Name: "first", Data: "1"}, e, Entry{Name: "last", Data: "2"})
				_, err := o.Publish(t.Context(), bytes.NewReader(stream), at, 8192)
				wantClass(t, err, driver.ErrRefused)
				if err != nil && !bytes.Contains([]byte(err.Error()), []byte(fmt.Sprintf("%q", e.Name))) {
					t.Errorf("%q does not name the entry %q", err, e.Name)
				}
				if driver.Next(err) == "" {
					t.Errorf("%v does not say what to do", err)
				}
				_, err = o.Digest(t.Context(), at)
				wantClass(t, err, driver.ErrNotFound)
			})
		}
	})
	t.Run("truncated", func(t *testing.T) {
		o, at := open(t), target(t, "o")
		whole := Tar(t, small...)
		for _, n := range []int{0, 511, 512, 1024, 1500, len(whole) - 1024, len(whole) - 512} {
			_, err := o.Publish(t.Context(), bytes.NewReader(whole[:n]), at, 0)
			wantClass(t, err, driver.ErrCorrupt)
		}
		_, err := o.Digest(t.Context(), at)
		wantClass(t, err, driver.ErrNotFound)
	})
	t.Run("target", func(t *testing.T) {
		o := open(t)
		for _, name := range []string{"", ".", "..", "/abs", "../up", "a/../.."} {
			_, err := o.Publish(t.Context(), bytes.NewReader(Tar(t, small...)), target(t, name), 0)
			wantClass(t, err, driver.ErrRefused)
		}
	})
}

// FakeOutputs is driver.Outputs in memory: it keeps trees by the name of a target's root and its path.
type FakeOutputs struct {
	mu    sync.Mutex
	trees map[string][]fakeEntry
}

type fakeEntry struct {
	Name, Data, Link string
	Type             byte
	Exec             bool
}

var _ driver.Outputs = (*FakeOutputs)(nil)

func fakeTarget(t driver.Target) string { return path.Join(t.Root.Name(), t.Path) }

// Digest is that of the tree at t.
func (f *FakeOutputs) Digest(_ context.Context, t driver.Target) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	tree, ok := f.trees[fakeTarget(t)]
	if !ok {
		return "", &driver.Error{Class: driver.ErrNotFound, Op: "read output", Object: t.Path}
	}
	return fakeDigest(tree), nil
}

// Publish keeps the stream's tree.
func (f *FakeOutputs) Publish(_ context.Context, stream io.Reader, t driver.Target, limit int64) (driver.Fetched, error) {
	fail := func(class error, name string, format string, args ...any) (driver.Fetched, error) {
		return driver.Fetched{}, &driver.Error{
			Class: class, Op: "write output", Object: t.Path,
			Err: fmt.Errorf("%q: "+format, append([]any{name}, args...)...), Next: "let the guest leave it out",
		}
	}
	if clean := path.Clean(t.Path); t.Path == "" || clean == "." || path.IsAbs(clean) || climbs(clean) {
		return fail(driver.ErrRefused, t.Path, "not inside the folder")
	}
	data, err := io.ReadAll(stream)
	if err != nil {
		return driver.Fetched{}, err
	}
	if len(data) < 1024 || len(bytes.TrimRight(data[len(data)-1024:], "\x00")) != 0 {
		return fail(driver.ErrCorrupt, "stream", "truncated")
	}
	all := map[string]fakeEntry{".": {Name: ".", Type: tar.TypeDir}}
	got := driver.Fetched{Path: t.Path}
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fail(driver.ErrCorrupt, "stream", "%w", err)
		}
		name := path.Clean(h.Name)
		switch {
		case path.IsAbs(name) || climbs(name):
			return fail(driver.ErrRefused, h.Name, "outside the tree")
		case h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeDir && h.Typeflag != tar.TypeSymlink:
			return fail(driver.ErrRefused, h.Name, "type %q", h.Typeflag)
		case path.IsAbs(h.Linkname) || climbs(path.Join(path.Dir(name), h.Linkname)):
			return fail(driver.ErrRefused, h.Name, "link outside the tree")
		}
		body, err := io.ReadAll(r)
		if err != nil {
			return fail(driver.ErrCorrupt, h.Name, "%w", err)
		}
		if h.Typeflag == tar.TypeReg {
			got.Files++
			if got.Bytes += h.Size; limit > 0 && got.Bytes > limit {
				return fail(driver.ErrRefused, h.Name, "over the limit")
			}
		}
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			all[dir] = fakeEntry{Name: dir, Type: tar.TypeDir}
		}
		all[name] = fakeEntry{
			Name: name, Type: h.Typeflag, Link: h.Linkname, Data: string(body),
			Exec: h.Typeflag == tar.TypeReg && h.Mode&0o111 != 0,
		}
	}
	tree := sortedValues(all)
	got.Digest = fakeDigest(tree)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.trees == nil {
		f.trees = map[string][]fakeEntry{}
	}
	f.trees[fakeTarget(t)] = tree
	return got, nil
}

// Tar gives what Publish kept.
func (f *FakeOutputs) Tar(_ context.Context, t driver.Target, w io.Writer) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	tree, ok := f.trees[fakeTarget(t)]
	if !ok {
		return &driver.Error{Class: driver.ErrNotFound, Op: "read output", Object: t.Path}
	}
	tw := tar.NewWriter(w)
	for _, e := range tree {
		h := &tar.Header{Name: e.Name, Typeflag: e.Type, Linkname: e.Link, Size: int64(len(e.Data)), Mode: 0o644}
		if e.Exec {
			h.Mode = 0o755
		}
		if err := tw.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.WriteString(tw, e.Data); err != nil {
			return err
		}
	}
	return tw.Close()
}

// climbs says whether a clean relative path leads upwards.
func climbs(clean string) bool {
	return clean == ".." || len(clean) > 2 && clean[:3] == "../"
}
