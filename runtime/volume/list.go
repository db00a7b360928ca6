package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/lease"
)

// List gives every volume and every image without a record, sorted by name. A record that can't be understood hides
// its own volume and is in the error, beside the rest of the list: who asks decides whether it matters.
func (s *Store) List(ctx context.Context) ([]driver.Volume, error) {
	names, err := s.names()
	if err != nil {
		return nil, err
	}
	var list []driver.Volume
	var broken []error
	locks := lease.ReadLocks()
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		v, err := s.observe(name, locks)
		switch {
		case errors.Is(err, driver.ErrCorrupt), errors.Is(err, driver.ErrUnsupported):
			broken = append(broken, err)
		case err != nil:
			return nil, err
		case v != nil:
			list = append(list, *v)
		}
	}
	return list, errors.Join(broken...)
}

// names lists what has an image or a record.
func (s *Store) names() ([]string, error) {
	entries, err := os.ReadDir(s.State.Volumes())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list volumes: %w", err)
	}
	var names []string
	for _, e := range entries {
		name, isImage := strings.CutSuffix(e.Name(), ".ext4")
		if !isImage {
			var isRecord bool
			name, isRecord = strings.CutSuffix(e.Name(), ".json")
			if !isRecord {
				continue
			}
		}
		if layout.ValidName(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Get is one volume.
func (s *Store) Get(_ context.Context, name string) (driver.Volume, error) {
	if !layout.ValidName(name) {
		return driver.Volume{}, invalidName("look at volume", name)
	}
	return s.one(name, lease.ReadLocks())
}

// Find is one volume, without who holds it.
func (s *Store) Find(_ context.Context, name string) (driver.Volume, error) {
	if !layout.ValidName(name) {
		return driver.Volume{}, invalidName("look at volume", name)
	}
	return s.one(name, nil)
}

func (s *Store) one(name string, locks lease.Locks) (driver.Volume, error) {
	v, err := s.observe(name, locks)
	if err != nil {
		return driver.Volume{}, err
	}
	if v == nil {
		return driver.Volume{}, s.notFound("look at volume", name)
	}
	return *v, nil
}

// observe looks at a volume without a lock; nil when there is none, or one whose deletion was begun. Without locks nobody
// is asked who holds it.
func (s *Store) observe(name string, locks lease.Locks) (*driver.Volume, error) {
	r, err := s.load(name)
	if err != nil {
		return nil, err
	}
	info, err := s.stat(name)
	if err != nil {
		return nil, err
	}
	if r == nil && info == nil || r != nil && r.Deleting {
		return nil, nil
	}
	v := s.describe(name, r, info)
	if info == nil {
		return v, nil
	}
	v.Unborn = r == nil && Pristine(v.Path)
	if err := look(v, r, locks); err != nil {
		return nil, err
	}
	if locks != nil {
		v.Holder, err = ReadHolder(s.State, name)
	}
	return v, err
}

// describe is what record and file tell of a volume, either of which may be nil.
func (s *Store) describe(name string, r *record, info fs.FileInfo) *driver.Volume {
	v := &driver.Volume{Name: name, Path: s.State.VolumeImage(name), ImageMissing: info == nil}
	if r != nil {
		v.ID, v.Project, v.Size, v.Created, v.Protected = r.ID, r.Project, r.Size, r.Created, r.Protected
		v.RecordDigest, v.Recorded, v.Declared = r.Digest(), r.Size, r.Declared
	}
	if info != nil {
		v.Size, v.Allocated = info.Size(), layout.Allocated(info)
	}
	return v
}

// look says what an image itself tells: that it is another one, or attached.
func look(v *driver.Volume, r *record, locks lease.Locks) error {
	f, err := layout.Open(v.Path)
	if errors.Is(err, fs.ErrNotExist) { // gone this moment
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if r != nil {
		v.Changed = changedOn(r, f, v.Size)
	}
	if locks != nil {
		v.Attached, _, err = locks.ProbeFile(f)
	}
	return err
}

// ReadHolder is the last holder of a volume's lease, nil when nobody ever held it.
func ReadHolder(state layout.State, name string) (*driver.Holder, error) {
	var h driver.Holder
	err := layout.ReadJSON(state.VolumeHolder(name), &h)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil || h.Workspace == "" {
		// The file is only for telling; a torn one tells nothing.
		return nil, nil
	}
	return &h, nil
}

// ForgetHolder takes back what WriteHolder noted of a process that gives the lease back and lives on, unless another has it noted
// since, which reads the volume as well. Only the holder of the lease calls it.
func ForgetHolder(state layout.State, name string, self lease.Process) error {
	if h, _ := ReadHolder(state, name); h != nil && (lease.Process{PID: h.PID, BootID: h.BootID, Start: h.Start}) != self {
		return nil
	}
	err := os.Remove(state.VolumeHolder(name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget holder of volume %s: %w", name, err)
	}
	return nil
}

// WriteHolder notes who holds a volume's lease. Only the holder of the lease calls it; the note stays after release.
func WriteHolder(state layout.State, name string, h driver.Holder) error {
	if err := layout.WriteJSON(state.VolumeHolder(name), h); err != nil {
		return fmt.Errorf("note holder of volume %s: %w", name, err)
	}
	return nil
}
