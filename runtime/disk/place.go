package disk

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"microagent/runtime/disk/target"
	"microagent/runtime/driver"
)

// Place publishes a private, writable copy of a cached disk at path. Its bytes lie on the host's disk before it has a name;
// the name does once the folder is synced, which is left to who writes a record of it there.
func (d *Disks) Place(ctx context.Context, key, path string) error {
	const op = "place disk"
	if !validKey(key) {
		return &driver.Error{Class: driver.ErrInvalid, Op: op, Object: key, Err: errors.New("not a key")}
	}
	from, err := d.hold(key)
	if err != nil {
		return err
	}
	defer from.Close()
	draft, err := target.File(path).Nameless(0o600)
	if err != nil {
		return wrap(op, path, err)
	}
	defer draft.Close()
	if err := target.Copy(ctx, draft, from); err != nil {
		return wrap(op, path, err)
	}
	if err := draft.Sync(); err != nil {
		return wrap(op, path, err)
	}
	if err := draft.Link(); err != nil {
		return wrap(op, path, err)
	}
	return nil
}

// hold opens a cached disk under a shared lock, so that Prune leaves it.
func (d *Disks) hold(key string) (*os.File, error) {
	f, err := os.Open(d.state.CachedDisk(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &driver.Error{Class: driver.ErrNotFound, Op: "find disk", Object: key}
	}
	if err != nil {
		return nil, wrap("open disk", key, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH); err != nil {
		f.Close()
		return nil, wrap("lock disk", key, err)
	}
	if !isFileAt(f, d.state.CachedDisk(key)) {
		f.Close()
		return nil, &driver.Error{Class: driver.ErrNotFound, Op: "find disk", Object: key}
	}
	return f, nil
}

// isFileAt says whether path still is the file f.
func isFileAt(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Lstat(path)
	return err == nil && os.SameFile(a, b)
}
