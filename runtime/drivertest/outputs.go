package drivertest

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"reflect"
	"strings"
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
		got, err := o.Publish(t.Context(), bytes.NewReader(Tar(t, small...)), at, driver.Publishing{})
		must(t, err)
		if got.Files != 2 || got.Bytes != 12 {
			t.Errorf("Publish: %+v", got)
		}
		digest, err := o.Digest(t.Context(), at)
		must(t, err)
		if digest != got.Digest {
			t.Errorf("Digest says %s, Publish %s", digest, got.Digest)
		}
		again, err := o.Publish(t.Context(), bytes.NewReader(Tar(t, small...)), at, driver.Publishing{})
		if err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("again: %+v, %v", again, err)
		}
	})
	t.Run("file", func(t *testing.T) {
		o, at := open(t), target(t, "count")
		got, err := o.Publish(t.Context(), bytes.NewReader(Tar(t, Entry{Name: ".", Data: "3\n"})), at, driver.Publishing{Limit: 2})
		must(t, err)
		if got.Files != 1 || got.Bytes != 2 {
			t.Errorf("Publish: %+v", got)
		}
		other, err := o.Publish(t.Context(), bytes.NewReader(Tar(t, Entry{Name: ".", Data: "4\n"})), at, driver.Publishing{Limit: 2})
		must(t, err)
		digest, err := o.Digest(t.Context(), at)
		if err != nil || digest != other.Digest || digest == got.Digest {
			t.Errorf("Digest after a change: %s, %v", digest, err)
		}
	})
	t.Run("round trip", func(t *testing.T) {
		o, from, to := open(t), target(t, "a"), target(t, "b")
		first, err := o.Publish(t.Context(), bytes.NewReader(Tar(t, small...)), from, driver.Publishing{})
		must(t, err)
		var one, two bytes.Buffer
		must(t, o.Tar(t.Context(), from, &one))
		must(t, o.Tar(t.Context(), from, &two))
		if !bytes.Equal(one.Bytes(), two.Bytes()) {
			t.Error("Tar of one tree gives two streams")
		}
		second, err := o.Publish(t.Context(), &one, to, driver.Publishing{})
		must(t, err)
		if second.Digest != first.Digest {
			t.Errorf("the digest changed on the way: %s, %s", first.Digest, second.Digest)
		}
	})
	t.Run("what counts", func(t *testing.T) {
		base := []Entry{{Name: "f", Data: "x", Mode: 0o644}, {Name: "l", Type: tar.TypeSymlink, Link: "f"}}
		digest := func(entries ...Entry) string {
			t.Helper()
			got, err := open(t).Publish(t.Context(), bytes.NewReader(Tar(t, entries...)), target(t, "o"), driver.Publishing{})
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
			"hard link":       {Name: "h", Type: tar.TypeLink, Link: "last"},
			"hard link out":   {Name: "h", Type: tar.TypeLink, Link: "/etc/passwd"},
			"larger than all": {Name: "big", Data: string(make([]byte, 9000))},
		} {
			t.Run(name, func(t *testing.T) {
				o, at := open(t), target(t, "o")
				stream := Tar(t, Entry{Name: "first", Data: "1"}, e, Entry{Name: "last", Data: "2"})
				_, err := o.Publish(t.Context(), bytes.NewReader(stream), at, driver.Publishing{Limit: 8192})
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
	t.Run("left out", func(t *testing.T) {
		o := open(t)
		publish := func(how driver.Publishing, entries ...Entry) driver.Fetched {
			t.Helper()
			got, err := o.Publish(t.Context(), bytes.NewReader(Tar(t, entries...)), target(t, "o"), how)
			must(t, err)
			return got
		}
		file := Entry{Name: "f", Data: "1"}
		want := publish(driver.Publishing{}, file)
		for name, e := range map[string]Entry{
			"device":        {Name: "null", Type: tar.TypeChar},
			"block device":  {Name: "sda", Type: tar.TypeBlock},
			"fifo":          {Name: "pipe", Type: tar.TypeFifo},
			"socket":        {Name: "s", Mode: 0o140755},
			"absolute link": {Name: "l", Type: tar.TypeSymlink, Link: "/etc/passwd"},
			"link upwards":  {Name: "l", Type: tar.TypeSymlink, Link: "../x"},
			"git folder":    {Name: ".git/config", Data: "x"},
			"git file":      {Name: ".GIT", Data: "gitdir: /x"},
		} {
			got := publish(driver.Publishing{}, e, file)
			if got.Digest != want.Digest || got.WithGit != "" || got.Files != 1 || got.LeftOut.Count != 1 || len(got.LeftOut.Names) != 1 {
				t.Errorf("%s: %+v", name, got)
			}
		}
		config := Entry{Name: "sub/.git/config", Data: "x"}
		got := publish(driver.Publishing{}, file, config)
		with := publish(driver.Publishing{Git: true}, file, config)
		if with.Files != 2 || with.LeftOut.Count != 0 || with.WithGit == "" || with.WithGit == with.Digest || with.Digest != got.Digest {
			t.Errorf("with git: %+v, without: %+v", with, got)
		}
	})
	t.Run("hard links", func(t *testing.T) {
		o := open(t)
		one := Entry{Name: "deps/app-1", Mode: 0o755, Data: "program"}
		got, err := o.Publish(t.Context(), bytes.NewReader(Tar(t, one, Entry{Name: "app", Type: tar.TypeLink, Link: "deps/app-1"})), target(t, "o"), driver.Publishing{})
		must(t, err)
		two := one
		two.Name = "app"
		want, err := o.Publish(t.Context(), bytes.NewReader(Tar(t, one, two)), target(t, "p"), driver.Publishing{})
		must(t, err)
		if got.Digest != want.Digest || got.Files != 2 || got.Bytes != 14 || got.LeftOut.Count != 0 {
			t.Errorf("%+v, as two files %+v", got, want)
		}
		_, err = o.Publish(t.Context(), bytes.NewReader(Tar(t, Entry{Name: "f", Data: string(make([]byte, 5000))},
			Entry{Name: "g", Type: tar.TypeLink, Link: "f"})), target(t, "q"), driver.Publishing{Limit: 8192})
		wantClass(t, err, driver.ErrRefused)
	})
	t.Run("truncated", func(t *testing.T) {
		o, at := open(t), target(t, "o")
		whole := Tar(t, small...)
		for _, n := range []int{0, 511, 512, 1024, 1500, len(whole) - 1024, len(whole) - 512} {
			_, err := o.Publish(t.Context(), bytes.NewReader(whole[:n]), at, driver.Publishing{})
			wantClass(t, err, driver.ErrCorrupt)
		}
		_, err := o.Digest(t.Context(), at)
		wantClass(t, err, driver.ErrNotFound)
	})
	t.Run("target", func(t *testing.T) {
		o := open(t)
		for _, name := range []string{"", ".", "..", "/abs", "../up", "a/../.."} {
			_, err := o.Publish(t.Context(), bytes.NewReader(Tar(t, small...)), target(t, name), driver.Publishing{})
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

func fakeTarget(t driver.Target) string {
	if t.Root == nil {
		return t.Path
	}
	return path.Join(t.Root.Name(), t.Path)
}

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

// Publish keeps the stream's tree. Of git folders it knows those that are called so.
func (f *FakeOutputs) Publish(_ context.Context, stream io.Reader, t driver.Target, how driver.Publishing) (driver.Fetched, error) {
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
	bytesRead := int64(0)
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fail(driver.ErrCorrupt, "stream", "%w", err)
		}
		name, body := path.Clean(h.Name), []byte(nil)
		switch linked, known := all[path.Clean(h.Linkname)]; {
		case path.IsAbs(name) || climbs(name):
			return fail(driver.ErrRefused, h.Name, "outside the tree")
		case h.Typeflag == tar.TypeLink && (!known || linked.Type != tar.TypeReg):
			return fail(driver.ErrRefused, h.Name, "links to no file")
		case h.Typeflag == tar.TypeLink:
			h.Typeflag, h.Linkname, body = tar.TypeReg, "", []byte(linked.Data)
			if linked.Exec {
				h.Mode |= 0o111
			}
		case h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeDir && h.Typeflag != tar.TypeSymlink,
			h.Typeflag == tar.TypeReg && !h.FileInfo().Mode().IsRegular(),
			path.IsAbs(h.Linkname) || climbs(path.Join(path.Dir(name), h.Linkname)):
			got.Leave(name, "not brought out")
			continue
		default:
			if body, err = io.ReadAll(r); err != nil {
				return fail(driver.ErrCorrupt, h.Name, "%w", err)
			}
		}
		if bytesRead += int64(len(body)); how.Limit > 0 && bytesRead > how.Limit {
			return fail(driver.ErrRefused, h.Name, "over the limit")
		}
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			all[dir] = fakeEntry{Name: dir, Type: tar.TypeDir}
		}
		all[name] = fakeEntry{
			Name: name, Type: h.Typeflag, Link: h.Linkname, Data: string(body),
			Exec: h.Typeflag == tar.TypeReg && h.Mode&0o111 != 0,
		}
	}
	got.Digest = fakeDigest(sortedValues(all))
	whole := maps.Clone(all)
	for name := range whole {
		if git := fakeGit(name); git != "" {
			delete(all, name)
			if git == name && !how.Git {
				got.Leave(name, "a git folder")
			}
		}
	}
	if len(all) < len(whole) {
		got.Digest = fakeDigest(sortedValues(all))
		if how.Git {
			got.WithGit, all = fakeDigest(sortedValues(whole)), whole
		}
	}
	for _, e := range all {
		if e.Type == tar.TypeReg {
			got.Files++
			got.Bytes += int64(len(e.Data))
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.trees == nil {
		f.trees = map[string][]fakeEntry{}
	}
	f.trees[fakeTarget(t)] = sortedValues(all)
	return got, nil
}

// fakeGit is the topmost part of a path that is called .git, "" when there is none.
func fakeGit(name string) string {
	for i, part := 0, ""; i < len(name); i += len(part) + 1 {
		part, _, _ = strings.Cut(name[i:], "/")
		if strings.EqualFold(part, ".git") {
			return name[:i+len(part)]
		}
	}
	return ""
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
