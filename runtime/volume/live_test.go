package volume

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"microagent/runtime/disk/ext4/edit"
	"microagent/runtime/disk/ext4/super"
	"microagent/runtime/driver"
)

// TestCopyOfAnAttachedVolume asks its holder to keep still: only what was copied meanwhile appears, under any verb.
func TestCopyOfAnAttachedVolume(t *testing.T) {
	lied := func(s *Store) error { // the guest wrote on, as the superblock says
		f, err := os.OpenFile(s.State.VolumeImage("data"), os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		sb, err := super.Read(f)
		if err != nil {
			return err
		}
		sb.Incompat |= super.NeedsRecovery
		return edit.WriteSuper(f, &sb)
	}
	torn := func(s *Store) error { // the guest writes its superblock at the very moment
		f, err := os.OpenFile(s.State.VolumeImage("data"), os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.WriteAt(make([]byte, super.Size/2), super.Offset)
		return err
	}
	copies := map[string]func(s *Store) error{
		"snapshot": func(s *Store) error {
			_, err := s.Snapshot(t.Context(), "data", "one", driver.MadeByHand)
			return err
		},
		"clone": func(s *Store) error { _, err := s.Clone(t.Context(), "data", "other"); return err },
		"create": func(s *Store) error {
			_, _, err := s.Create(t.Context(), driver.VolumeSpec{Name: "other", Size: 64 << 20, From: "data"})
			return err
		},
		"export": func(s *Store) error {
			_, err := s.Export(t.Context(), "data", driver.ExportTar, io.Discard)
			return err
		},
		"check": func(s *Store) error { _, err := s.Check(t.Context(), "data"); return err },
	}
	late := errors.New("too late")
	for verb, copyIt := range copies {
		for _, guest := range []struct {
			what   string
			freeze func(s *Store, do func() error) error
			want   func(error) bool
		}{
			{"holds still", func(_ *Store, do func() error) error { return do() }, func(err error) bool { return err == nil }},
			{"writes on", func(s *Store, do func() error) error { return errors.Join(do(), torn(s)) }, func(err error) bool { return err == nil }},
			{"thaws too early", func(_ *Store, do func() error) error { return errors.Join(do(), late) }, func(err error) bool { return errors.Is(err, late) }},
			{"knows no freeze", func(*Store, func() error) error { return &driver.Error{Class: driver.ErrUnsupported} },
				func(err error) bool {
					return errors.Is(err, driver.ErrBusy) && driver.Next(err) == "microagent halt db"
				}},
			{"lies", func(s *Store, do func() error) error { return errors.Join(lied(s), do()) },
				func(err error) bool { return err != nil && strings.Contains(err.Error(), "it was not") }},
		} {
			t.Run(verb+" "+guest.what, func(t *testing.T) {
				s := ours(t)
				withFile(t, s, "data", "hello")
				release := attach(t, s, "data", "db")
				defer release()
				asked := 0
				s.Frozen = func(ctx context.Context, workspace, volume string, do func(context.Context) error) error {
					if asked++; workspace != "db" || volume != "data" {
						t.Errorf("asked workspace %s to freeze %s", workspace, volume)
					}
					return guest.freeze(s, func() error { return do(ctx) })
				}
				err := copyIt(s)
				if !guest.want(err) || asked != 1 {
					t.Errorf("asked %d times: %v", asked, err)
				}
				list, _ := s.Snapshots(t.Context(), "")
				_, there := s.Get(t.Context(), "other")
				if made := len(list) > 0 || there == nil; made != (err == nil && verb != "export" && verb != "check") {
					t.Errorf("made: %v, %v", list, there)
				}
				if there == nil && labelOf(t, s.State.VolumeImage("other")) != "other" {
					t.Error("it has the label of another")
				}
				if _, err := os.Stat(s.State.SnapshotRecord("data", "one")); err == nil && len(list) == 0 {
					t.Error("a record is left")
				}
			})
		}
	}
}

// TestTrimOfAnAttachedVolume counts what the host has of it, whatever the guest says.
func TestTrimOfAnAttachedVolume(t *testing.T) {
	s := ours(t)
	v := withFile(t, s, "data", "hello")
	release := attach(t, s, "data", "db")
	defer release()
	if _, err := s.Trim(t.Context(), "data"); !errors.Is(err, driver.ErrBusy) {
		t.Errorf("without a way to the holder: %v", err)
	}
	f, err := os.OpenFile(v.Path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const at, n = 32 << 20, 1 << 20
	if _, err := f.WriteAt([]byte(strings.Repeat("x", n)), at); err != nil {
		t.Fatal(err)
	}
	s.TrimLive = func(context.Context, string, string) error { return hole(f, at, at+n) }
	if freed, err := s.Trim(t.Context(), "data"); err != nil || freed != n {
		t.Errorf("%d, %v", freed, err)
	}
	s.TrimLive = func(context.Context, string, string) error { return &driver.Error{Class: driver.ErrUnsupported} }
	if _, err := s.Trim(t.Context(), "data"); !errors.Is(err, driver.ErrBusy) {
		t.Errorf("an old guest: %v", err)
	}
}

func labelOf(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sb, err := super.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	return sb.Name()
}
