package workspace

import (
	"errors"
	"os"
	"testing"

	"microagent/runtime/driver"
	"microagent/runtime/lease"
	"microagent/runtime/supervise"
)

// TestAbandonedWorkspacesAreSwept creates a workspace for a process and lets that one be gone.
func TestAbandonedWorkspacesAreSwept(t *testing.T) {
	dead := lease.Process{PID: 1 << 30, BootID: "another"}
	for name, c := range map[string]struct {
		change func(s *Store, r *record) error
		gone   bool
	}{
		"its owner lives": {func(*Store, *record) error { return nil }, false},
		"its owner is gone": {func(s *Store, r *record) error {
			r.Owner = &dead
			return s.save(r)
		}, true},
		"killed before the root file system came": {func(s *Store, r *record) error {
			r.Owner = &dead
			return errors.Join(s.save(r), os.Remove(s.State.Workspace(r.Name).RootFS()))
		}, true},
		"killed before its record came": {func(s *Store, r *record) error {
			folder := s.State.Workspace(r.Name)
			return errors.Join(os.Remove(folder.Record()), os.Remove(folder.RootFS()))
		}, true},
		"no record, and a root file system": {func(s *Store, r *record) error { return os.Remove(s.State.Workspace(r.Name).Record()) }, false},
		"its deletion was killed": {func(s *Store, r *record) error {
			r.Owner, r.Deleting = &dead, true
			return s.save(r)
		}, true},
		"it is to be kept by now": {func(s *Store, r *record) error {
			r.Owner = &dead
			kept := r.Spec
			kept.OneShot = false
			if err := s.save(r); err != nil {
				return err
			}
			_, err := s.Update(t.Context(), kept)
			return err
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := wordStore(t)
			one := rooted("key")
			one.OneShot = true
			if _, err := s.Create(t.Context(), one, nil); err != nil {
				t.Fatal(err)
			}
			r, err := s.load("one")
			if err != nil || r.Owner == nil || !r.Owner.Alive() {
				t.Fatalf("%+v, %v", r, err)
			}
			if err := c.change(s, r); err != nil {
				t.Fatal(err)
			}
			other := rooted("key")
			other.Name = "two"
			next := &Store{State: s.State, Disks: s.Disks} // as the next command has it
			if _, err := next.Create(t.Context(), other, nil); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(s.State.Workspace("one").Dir); errors.Is(err, os.ErrNotExist) != c.gone {
				t.Errorf("after the next create: %v", err)
			}
		})
	}
}

// TestAbandonedLeavesWhatIsInUse is called as a supervisor does at its end, while somebody has the disk, and then not.
func TestAbandonedLeavesWhatIsInUse(t *testing.T) {
	s := wordStore(t)
	one := rooted("key")
	one.OneShot = true
	if _, err := s.Create(t.Context(), one, nil); err != nil {
		t.Fatal(err)
	}
	run := supervise.Spec{State: s.State.Dir, Workspace: one}
	if err := Abandoned(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	r, err := s.load("one")
	if err != nil || r == nil {
		t.Fatalf("it was removed while its owner lives: %v", err)
	}
	r.Owner = &lease.Process{PID: 1 << 30, BootID: "another"}
	if err := s.save(r); err != nil {
		t.Fatal(err)
	}
	l, err := lease.Acquire(s.State.Workspace("one").RootFS(), lease.Exclusive)
	if err != nil {
		t.Fatal(err)
	}
	if err := Abandoned(t.Context(), run); !errors.Is(err, driver.ErrBusy) {
		t.Errorf("with a holder: %v", err)
	}
	l.Close()
	if err := Abandoned(t.Context(), run); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(s.State.Workspace("one").Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is there still: %v", err)
	}
}
