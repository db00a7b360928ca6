package volume

import (
	"context"
	"errors"
	"os"

	"microagent/runtime/disk/target"
	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// Restore builds the new image beside the one that is there, gives that one a second name as a snapshot, and replaces the
// volume's name. Whenever it is cut short the volume has its old content or the snapshot's, and once it has the latter, the
// old content is a snapshot.
func (s *Store) Restore(ctx context.Context, name, tag string) (driver.Restored, error) {
	const op = "restore volume"
	unlock, err := s.lock(ctx, op, name)
	if err != nil {
		return driver.Restored{}, err
	}
	defer unlock()
	from, of, err := s.snapshotImage(op, name, tag)
	if err != nil {
		return driver.Restored{}, err
	}
	defer from.Close()
	r, err := s.load(name)
	if err != nil {
		return driver.Restored{}, err
	}
	info, err := s.stat(name)
	if err != nil {
		return driver.Restored{}, err
	}
	var out driver.Restored
	switch {
	case r == nil && info == nil:
		fresh := s.newRecord(name, of.Project, 0)
		err = s.make(&fresh, func(draft *target.FileDraft) error { return content(ctx, draft, from, 0) })
	case r == nil || info == nil:
		_, err = s.whole(op, name)
	default:
		out.Kept, err = s.replace(ctx, op, r, tag, from)
	}
	if err != nil {
		return driver.Restored{}, wrap(op, name+":"+tag, err)
	}
	out.Volume, err = s.Get(ctx, name)
	return out, err
}

// content copies an image into a draft, of at least size bytes, and replays its journal.
func content(ctx context.Context, draft *target.FileDraft, from *os.File, size int64) error {
	if err := target.Copy(ctx, draft, from); err != nil {
		return err
	}
	if err := recoverJournal(draft.File); err != nil {
		return err
	}
	info, err := draft.Stat()
	if err != nil || info.Size() >= size {
		return err
	}
	return draft.Truncate(size)
}

// replace puts the content of from in the place of a volume's image.
func (s *Store) replace(ctx context.Context, op string, r *record, tag string, from *os.File) (*driver.Snapshot, error) {
	name := r.Name
	held, err := s.hold(op, name)
	if err != nil {
		return nil, err
	}
	defer held.Close()
	size, err := held.Size()
	if err != nil {
		return nil, err
	}
	draft, err := target.File(s.State.VolumeImage(name)).Nameless(0o600)
	if err != nil {
		return nil, err
	}
	defer draft.Close()
	if err := content(ctx, draft, from, size); err != nil {
		return nil, err
	}
	before, err := s.freeTag(name, "before-"+tag)
	if err != nil {
		return nil, err
	}
	for _, step := range s.restoreSteps(r, s.newSnapshot(r, before, driver.MadeByRestore), draft) {
		if err := step(); err != nil {
			return nil, errors.Join(err, s.finishSnapshot(name, before))
		}
	}
	kept, err := s.observeSnapshot(name, before)
	return &kept, err
}

// restoreSteps are what a restore does once the new image is written, each whole.
func (s *Store) restoreSteps(r *record, kept *snapshotRecord, draft *target.FileDraft) []func() error {
	name := r.Name
	return []func() error{
		func() error {
			if err := os.MkdirAll(s.State.SnapshotsOf(name), 0o700); err != nil {
				return err
			}
			kept.Making = true
			return layout.WriteJSON(s.State.SnapshotRecord(name, kept.Name), kept)
		},
		func() error {
			if err := os.Link(s.State.VolumeImage(name), s.State.SnapshotImage(name, kept.Name)); err != nil {
				return err
			}
			return layout.SyncDir(s.State.SnapshotsOf(name))
		},
		func() error { // from here on either image is the one that the record is of
			r.UUID = ""
			return layout.ReplaceRecord(s.State.VolumeRecord(name), r)
		},
		draft.Replace,
		func() error {
			kept.Making = false
			return layout.WriteJSON(s.State.SnapshotRecord(name, kept.Name), kept)
		},
		func() error {
			info, err := draft.Stat()
			if err != nil {
				return err
			}
			r.Size = info.Size()
			return s.save(r)
		},
	}
}
