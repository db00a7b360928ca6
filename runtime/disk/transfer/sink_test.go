package transfer

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"microagent/runtime/driver"
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
