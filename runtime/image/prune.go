package image

import (
	"context"
	"errors"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// pruneWait is how long those who use the store wait for a Prune, which only removes files.
const pruneWait = 10 * time.Minute

// Use keeps Prune off.
func (s *Store) Use(ctx context.Context) (func(), error) {
	release, err := s.state.Share(ctx, "images", "use", pruneWait)
	return release, lockedStore(err)
}

func lockedStore(err error) error {
	if locked, ok := errors.AsType[*layout.LockedError](err); ok {
		return &driver.Error{Class: driver.ErrLocked, Op: "use", Object: "image store", Err: locked, Next: "try again when it is done"}
	}
	return err
}

// Prune forgets what nothing uses.
func (s *Store) Prune(ctx context.Context, keep func() (map[string]bool, error), dry bool) (int64, []string, error) {
	const op = "prune images"
	if !dry {
		release, err := s.state.Lock(ctx, "images", "use", 0)
		if err != nil {
			return 0, nil, lockedStore(err)
		}
		defer release()
	}
	used, err := keep()
	if err != nil {
		return 0, nil, err
	}
	idx, err := s.readIndex()
	if err != nil {
		return 0, nil, &driver.Error{Op: op, Err: err}
	}
	freed, unused := s.unused(idx, used)
	if dry || len(unused) == 0 {
		return freed, unused, nil
	}
	in, err := s.ingest(ctx, nil)
	if err != nil {
		return 0, nil, storeError(op, unused[0], err)
	}
	defer in.unlock()
	if idx, err = in.readIndex(); err != nil {
		return 0, nil, &driver.Error{Op: op, Err: err}
	}
	freed, unused = s.unused(idx, used)
	for _, name := range unused {
		delete(idx.Images, name)
	}
	if err := layout.WriteJSON(in.indexPath(), idx); err != nil {
		return 0, nil, storeError(op, in.indexPath(), err)
	}
	if err := in.sweep(ctx); err != nil {
		return 0, nil, storeError(op, in.indexPath(), err)
	}
	return freed, unused, nil
}

// unused are the names of images that nothing uses, and the bytes of what only they hold.
func (s *Store) unused(idx index, used map[string]bool) (bytes int64, names []string) {
	held, free := map[string]bool{}, map[string]bool{}
	for _, name := range idx.names() {
		digest := idx.Images[name].Digest
		of := free
		if used[digest] {
			of = held
		} else {
			names = append(names, name)
		}
		of[digest] = true
		if m, _, err := s.load(digest); err == nil {
			for _, d := range m.blobs() {
				of[d.Digest.String()] = true
			}
		}
	}
	for digest := range free {
		if size, err := s.blobs.size(digest); err == nil && !held[digest] {
			bytes += size
		}
	}
	return bytes, names
}
