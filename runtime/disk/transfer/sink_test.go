package transfer

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"microagent/runtime/driver"
	"microagent/runtime/drivertest"
	"microagent/runtime/tartree"
)

func dirEntry(name string) Entry { return Entry{Name: name, Mode: fs.ModeDir | 0o755} }
func linkEntry(name, to string) Entry {
	return Entry{Name: name, Mode: fs.ModeSymlink | 0o777, Target: to}
}
func fileEntry(name string) Entry { return Entry{Name: name, Mode: 0o644, Size: 4} }

// TestHostileCopyWritesNothingBesideItself sends what would overwrite a file of the user's next to the copy.
func TestHostileCopyWritesNothingBesideItself(t *testing.T) {
	hard := fileEntry("hard")
	hard.Link = "up/precious"
	for name, entries := range map[string][]Entry{
		"through a link that goes up":            {dirEntry("."), linkEntry("up", ".."), fileEntry("up/precious")},
		"through one that goes up after a name":  {dirEntry("."), dirEntry("a"), linkEntry("a/l", "."), linkEntry("up", "a/l/../.."), fileEntry("up/precious")},
		"through a link called a directory next": {dirEntry("."), dirEntry("a"), linkEntry("a/l", "."), linkEntry("up", "a/l/../.."), dirEntry("up"), fileEntry("up/precious")},
		"through a harmless link":                {dirEntry("."), dirEntry("a"), linkEntry("b", "a"), fileEntry("b/precious")},
		"a hard link to it":                      {dirEntry("."), dirEntry("a"), linkEntry("a/l", "."), linkEntry("up", "a/l/../.."), hard},
		"below a file":                           {dirEntry("."), fileEntry("f"), fileEntry("f/precious")},
	} {
		dir := t.TempDir()
		precious := filepath.Join(dir, "precious")
		if err := os.WriteFile(precious, []byte("the user's"), 0o600); err != nil {
			t.Fatal(err)
		}
		var out driver.Copied
		s, err := NewSink(dir, "copy", true, &out)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if err = s.Add(t.Context(), e, strings.NewReader("evil")); err != nil {
				break
			}
		}
		// The link is left out; a directory in its place is one like any other.
		if err == nil && name == "through a link called a directory next" {
			err = driver.ErrRefused
		}
		if !errors.Is(err, driver.ErrRefused) && !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		s.Close()
		if got, err := os.ReadFile(precious); err != nil || string(got) != "the user's" {
			t.Errorf("%s: the file beside the copy holds %q (%v)", name, got, err)
		}
		if _, err := os.Readlink(filepath.Join(dir, "copy", "up")); err == nil {
			t.Errorf("%s: a link that leads out was written", name)
		}
	}
}

// TestDepthHasABound: what a directory costs grows with those above it.
func TestDepthHasABound(t *testing.T) {
	var out driver.Copied
	s, err := NewSink(t.TempDir(), "copy", true, &out)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.Add(t.Context(), dirEntry("."), nil)
	depth := 0
	for name := "d"; err == nil && depth < 2*maxDepth; name += "/d" {
		err = s.Add(t.Context(), dirEntry(name), nil)
		depth++
	}
	if !errors.Is(err, driver.ErrRefused) || depth < maxDepth {
		t.Errorf("%d deep: %v", depth, err)
	}
}

// TestUnpackHasABound: a guest that sends more than its disks have is told off before that is written.
func TestUnpackHasABound(t *testing.T) {
	many := []drivertest.Entry{{Name: ".", Type: tar.TypeDir, Mode: 0o755}}
	for i := range 10 {
		many = append(many, drivertest.Entry{Name: fmt.Sprint(i), Mode: 0o644, Data: string(make([]byte, 1000))})
	}
	for limit, fits := range map[int64]bool{10_000: true, 9_999: false} {
		dir := t.TempDir()
		var out driver.Copied
		s, err := NewSink(dir, "copy", true, &out)
		if err != nil {
			t.Fatal(err)
		}
		err = Unpack(t.Context(), bytes.NewReader(drivertest.Tar(t, many...)), s, limit)
		if (err == nil) != fits || err != nil && !errors.Is(err, driver.ErrRefused) {
			t.Errorf("limit %d: %v", limit, err)
		}
		if !fits && out.Bytes > limit {
			t.Errorf("limit %d: %d bytes were written", limit, out.Bytes)
		}
		s.Close()
		one := drivertest.Tar(t, drivertest.Entry{Name: ".", Mode: 0o644, Data: string(make([]byte, 10_000))})
		if _, err := Single(t.Context(), bytes.NewReader(one), io.Discard, limit); (err == nil) != fits {
			t.Errorf("a single file, limit %d: %v", limit, err)
		}
	}
}

// TestSinkHasABound on entries, and on what it remembers of their names, whoever sends them.
func TestSinkHasABound(t *testing.T) {
	var out driver.Copied
	s, err := NewSink(t.TempDir(), "copy", true, &out)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.budget = tartree.NewBudget(tartree.Limits{Entries: 3, Text: 100})
	for _, e := range []Entry{dirEntry("."), dirEntry("a"), linkEntry("l", "/etc")} {
		if err := s.Add(t.Context(), e, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Add(t.Context(), dirEntry("b"), nil); !errors.Is(err, driver.ErrRefused) || !strings.Contains(fmt.Sprint(err), "more than 3 entries") {
		t.Error(err)
	}
}

// TestGitIsNoted: the user asked for the tree, and is told that git is in it.
func TestGitIsNoted(t *testing.T) {
	var out driver.Copied
	s, err := NewSink(t.TempDir(), "copy", true, &out)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, e := range []Entry{dirEntry("."), dirEntry("a"), dirEntry("a/.Git")} {
		if err := s.Add(t.Context(), e, nil); err != nil {
			t.Fatal(err)
		}
	}
	if len(out.Git) != 1 || out.Git[0] != "a/.Git" {
		t.Errorf("%+v", out)
	}
}
