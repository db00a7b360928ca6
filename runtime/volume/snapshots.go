package volume

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// Snapshots lists what is whole.
func (s *Store) Snapshots(ctx context.Context, name string) ([]driver.Snapshot, error) {
	if name != "" && !layout.ValidName(name) {
		return nil, invalidName("list snapshots", name)
	}
	volumes := []string{name}
	if name == "" {
		var err error
		if volumes, err = s.withSnapshots(); err != nil {
			return nil, err
		}
	}
	var list []driver.Snapshot
	for _, v := range volumes {
		tags, err := s.tags(v)
		if err != nil {
			return nil, err
		}
		for _, tag := range tags {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			one, err := s.observeSnapshot(v, tag)
			if errors.Is(err, driver.ErrNotFound) {
				continue
			}
			if err != nil {
				return nil, err
			}
			list = append(list, one)
		}
	}
	slices.SortStableFunc(list, func(a, b driver.Snapshot) int {
		return cmp.Or(strings.Compare(a.Volume, b.Volume), a.Created.Compare(b.Created), strings.Compare(a.Tag, b.Tag))
	})
	return list, nil
}

// withSnapshots are the names of volumes that have snapshots, there or not.
func (s *Store) withSnapshots() (names []string, err error) {
	entries, err := os.ReadDir(s.State.Snapshots())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() && layout.ValidName(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// tags are those of a volume's snapshots that have an image or a record.
func (s *Store) tags(volume string) (tags []string, err error) {
	entries, err := os.ReadDir(s.State.SnapshotsOf(volume))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list snapshots of volume %s: %w", volume, err)
	}
	for _, e := range entries {
		tag, ok := strings.CutSuffix(e.Name(), ".ext4")
		if !ok {
			tag, ok = strings.CutSuffix(e.Name(), ".json")
		}
		if ok && tagForm().MatchString(tag) && !slices.Contains(tags, tag) {
			tags = append(tags, tag)
		}
	}
	return tags, nil
}

// observeSnapshot looks at a snapshot; ErrNotFound where there is none, or one that was never made or is being deleted.
func (s *Store) observeSnapshot(volume, tag string) (driver.Snapshot, error) {
	none := &driver.Error{Class: driver.ErrNotFound, Op: "look at snapshot", Object: volume + ":" + tag, Err: errors.New("there is no such snapshot"),
		Next: "microagent volume snapshots"}
	path := s.State.SnapshotImage(volume, tag)
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return driver.Snapshot{}, none
	}
	if err != nil {
		return driver.Snapshot{}, err
	}
	out := driver.Snapshot{Volume: volume, Tag: tag, Created: info.ModTime().UTC(), Size: info.Size(), Allocated: layout.Allocated(info), Path: path}
	var r snapshotRecord
	err = layout.ReadRecord(s.State.SnapshotRecord(volume, tag), snapshotKind, tag, &r)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return out, nil
	case err != nil:
		return out, &driver.Error{Class: driver.ErrCorrupt, Op: "read record of snapshot", Object: out.Name(), Err: err,
			Next: "its data are untouched at " + path + "; to give it up: microagent volume delete " + out.Name()}
	case r.Deleting || r.Making && s.sameImage(volume, info):
		return driver.Snapshot{}, none
	}
	out.ID, out.Of, out.Project, out.Created, out.Made = r.ID, r.Of, r.Project, r.Created, r.Made
	return out, nil
}

// sameImage says whether a file is the volume's own image, under a second name.
func (s *Store) sameImage(volume string, info fs.FileInfo) bool {
	now, err := os.Lstat(s.State.VolumeImage(volume))
	return err == nil && os.SameFile(now, info)
}

// finishSnapshots ends what was begun on a volume's snapshots and cut short.
func (s *Store) finishSnapshots(volume string) error {
	tags, err := s.tags(volume)
	if err != nil {
		return err
	}
	if len(tags) == 0 {
		_ = os.Remove(s.State.SnapshotsOf(volume)) // what a snapshot left that came to nothing
	}
	for _, tag := range tags {
		if err := s.finishSnapshot(volume, tag); err != nil {
			return fmt.Errorf("finish snapshot %s:%s: %w", volume, tag, err)
		}
	}
	return nil
}

func (s *Store) finishSnapshot(volume, tag string) error {
	var r snapshotRecord
	err := layout.ReadRecord(s.State.SnapshotRecord(volume, tag), snapshotKind, tag, &r)
	if err != nil || !r.Deleting && !r.Making {
		return nil // one that can't be read is told of by who lists it
	}
	info, err := os.Lstat(s.State.SnapshotImage(volume, tag))
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	case r.Deleting || err != nil || s.sameImage(volume, info):
		return s.removeSnapshot(volume, tag)
	}
	r.Making, r.Size = false, info.Size()
	// On a full disk it stays what it is, a snapshot: the volume has to be there for whoever makes room.
	if err := layout.WriteJSON(s.State.SnapshotRecord(volume, tag), &r); !isFull(err) {
		return err
	}
	return nil
}

// snapshotImage opens a snapshot for reading. Nothing changes a snapshot's image, and its volume's lock keeps it there.
func (s *Store) snapshotImage(op, volume, tag string) (*os.File, *snapshotRecord, error) {
	if err := checkTag(op, volume, tag); err != nil {
		return nil, nil, err
	}
	one, err := s.observeSnapshot(volume, tag)
	if e, ok := errors.AsType[*driver.Error](err); ok {
		e.Op = op
	}
	if err != nil {
		return nil, nil, err
	}
	f, err := os.Open(one.Path)
	if err != nil {
		return nil, nil, wrap(op, one.Name(), err)
	}
	r := &snapshotRecord{Of: one.Of, Size: one.Size}
	r.Project = one.Project
	return f, r, nil
}
