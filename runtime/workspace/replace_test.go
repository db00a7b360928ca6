package workspace

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// words places a file that holds its key.
type words struct{}

func (words) Place(_ context.Context, key, path string) error {
	d, err := layout.NewDraft(path, 0o600)
	if err != nil {
		return err
	}
	defer d.Close()
	if _, err := d.WriteString(key); err != nil {
		return err
	}
	return d.Publish()
}

func wordStore(t *testing.T) *Store {
	t.Helper()
	s := &Store{State: layout.State{Dir: t.TempDir()}, Disks: words{}, Tool: "test"}
	if err := s.State.Prepare("test"); err != nil {
		t.Fatal(err)
	}
	return s
}

func holds(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) && want == "" {
		return
	}
	if err != nil || string(got) != want {
		t.Errorf("%s holds %q, not %q (%v)", path, got, want, err)
	}
}

func rooted(key string) driver.WorkspaceSpec {
	w := spec("one", idle)
	w.RootFS, w.ImageDigest = key, "sha256:"+key
	return w
}

// TestReplacementCutShort leaves the files as a kill at each step leaves them.
func TestReplacementCutShort(t *testing.T) {
	for step, cut := range []string{"nothing renamed", "old set aside", "new in place"} {
		t.Run(cut, func(t *testing.T) {
			begin := func(t *testing.T) (*Store, *record, layout.Workspace) {
				s := wordStore(t)
				create(t, s, rooted("older"))
				if _, err := s.Replace(t.Context(), rooted("old"), nil); err != nil {
					t.Fatal(err)
				}
				folder := s.State.Workspace("one")
				if err := (words{}).Place(t.Context(), "new", folder.File(nextFile)); err != nil {
					t.Fatal(err)
				}
				r, err := s.load("one")
				if err != nil {
					t.Fatal(err)
				}
				r.Replacing = &replacing{Key: "new", Inode: inode(folder.File(nextFile)), Old: inode(folder.RootFS())}
				if err := s.save(r); err != nil {
					t.Fatal(err)
				}
				moves := [][2]string{{folder.RootFS(), folder.File(layout.RootFSPrev)}, {folder.File(nextFile), folder.RootFS()}}
				for _, m := range moves[:step] {
					if err := os.Rename(m[0], m[1]); err != nil {
						t.Fatal(err)
					}
				}
				if w, err := s.Get(t.Context(), "one"); err != nil || w.RootFSMissing {
					t.Errorf("Get: missing %v, %v", w.RootFSMissing, err)
				}
				return s, r, folder
			}
			for _, key := range []string{"new", "another"} {
				s, _, folder := begin(t)
				if _, err := s.Replace(t.Context(), rooted(key), nil); err != nil {
					t.Fatal(err)
				}
				holds(t, folder.RootFS(), key)
				holds(t, folder.File(layout.RootFSPrev), "old")
				holds(t, folder.File(nextFile), "")
			}
			s, r, folder := begin(t)
			if err := s.rollBack("start workspace", r); err != nil {
				t.Fatal(err)
			}
			holds(t, folder.RootFS(), "old")
			holds(t, folder.File(nextFile), "")
			if r, err := s.load("one"); err != nil || r.Replacing != nil || r.Spec.RootFS != "old" {
				t.Errorf("record: %+v, %v", r, err)
			}
		})
	}
}

// TestResetThatLoses: at each moment the root file system is the old one or the new one, and what was kept before stays.
func TestResetThatLoses(t *testing.T) {
	begin := func(t *testing.T, disks Placer) (*Store, layout.Workspace) {
		s := wordStore(t)
		create(t, s, rooted("older"))
		if _, err := s.Replace(t.Context(), rooted("old"), nil); err != nil {
			t.Fatal(err)
		}
		s.Disks = disks
		return s, s.State.Workspace("one")
	}
	t.Run("the new one can't be made", func(t *testing.T) {
		s, folder := begin(t, failing{})
		if _, err := s.Reset(t.Context(), "one", "new", true, nil); !errors.Is(err, errPlace) {
			t.Errorf("Reset: %v", err)
		}
		holds(t, folder.RootFS(), "old")
	})
	t.Run("there is no room for both", func(t *testing.T) {
		s, folder := begin(t, nil)
		s.Disks = roomless{folder.RootFS()}
		if _, err := s.Reset(t.Context(), "one", "new", false, nil); !errors.Is(err, driver.ErrNoSpace) {
			t.Errorf("Reset: %v", err)
		}
		holds(t, folder.RootFS(), "old")
		if _, err := s.Reset(t.Context(), "one", "new", true, nil); err != nil {
			t.Errorf("Reset: %v", err)
		}
		holds(t, folder.RootFS(), "new")
	})
	for _, renamed := range []bool{false, true} {
		s, folder := begin(t, words{})
		was, err := s.load("one")
		if err != nil {
			t.Fatal(err)
		}
		if err := (words{}).Place(t.Context(), "new", folder.File(nextFile)); err != nil {
			t.Fatal(err)
		}
		cut := *was
		cut.Replacing = &replacing{Key: "new", Inode: inode(folder.File(nextFile)), Lost: true}
		if err := s.save(&cut); err != nil {
			t.Fatal(err)
		}
		want := "old"
		if renamed {
			want = "new"
			if err := os.Rename(folder.File(nextFile), folder.RootFS()); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.rollBack("start workspace", &cut); err != nil {
			t.Fatal(err)
		}
		holds(t, folder.RootFS(), want)
		holds(t, folder.File(layout.RootFSPrev), "older")
		holds(t, folder.File(nextFile), "")
		if r, err := s.load("one"); err != nil || r.Replacing != nil || r.Spec.RootFS != want || (r.ID == was.ID) == renamed {
			t.Errorf("record: %+v, %v", r, err)
		}
	}
}

var errPlace = errors.New("it can't be made")

// failing places nothing, and roomless only where nothing is at its path.
type failing struct{}

func (failing) Place(context.Context, string, string) error { return errPlace }

type roomless struct{ beside string }

func (r roomless) Place(ctx context.Context, key, path string) error {
	if inode(r.beside) != 0 {
		return driver.ErrNoSpace
	}
	return words{}.Place(ctx, key, path)
}

// TestCreateKeepsWhatHasNoRecord loses the record, twice.
func TestCreateKeepsWhatHasNoRecord(t *testing.T) {
	s := wordStore(t)
	folder := s.State.Workspace("one")
	for range 2 {
		create(t, s, rooted("user's"))
		if err := os.Remove(folder.Record()); err != nil {
			t.Fatal(err)
		}
	}
	holds(t, folder.File(layout.RootFSPrev), "user's")
	holds(t, folder.RootFS(), "user's")
	_, err := s.Create(t.Context(), rooted("fresh"), nil)
	if !errors.Is(err, driver.ErrRefused) || driver.Next(err) == "" {
		t.Errorf("third Create: %v (%s)", err, driver.Next(err))
	}
	holds(t, folder.RootFS(), "user's")

	// What an interrupted Create left was never mounted: it goes, and the one before stays.
	var fresh bytes.Buffer
	fresh.Write(make([]byte, 1024+0x38))
	fresh.Write([]byte{0x53, 0xef})
	fresh.Write(make([]byte, 1024))
	if err := os.WriteFile(folder.RootFS(), fresh.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	create(t, s, rooted("fresh"))
	holds(t, folder.RootFS(), "fresh")
	holds(t, folder.File(layout.RootFSPrev), "user's")
}
