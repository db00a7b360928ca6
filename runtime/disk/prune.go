package disk

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"microagent/runtime/layout"
	"microagent/runtime/lease"
)

// Prune removes cached disks that keep does not name and that nobody holds a lock on.
func (d *Disks) Prune(ctx context.Context, keep map[string]bool, dry bool) (freed int64, removed []string, err error) {
	entries, err := os.ReadDir(d.state.DiskCache())
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil, nil
	}
	if err != nil {
		return 0, nil, wrap("prune", d.state.DiskCache(), err)
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return freed, removed, err
		}
		path := filepath.Join(d.state.DiskCache(), e.Name())
		key, ok := strings.CutSuffix(e.Name(), ".ext4")
		draft := strings.HasPrefix(e.Name(), layout.DraftPrefix)
		if !draft && (!ok || !validKey(key) || keep[key]) || !e.Type().IsRegular() {
			continue
		}
		n, gone, err := sweep(path, dry)
		if err != nil {
			return freed, removed, wrap("prune", path, err)
		}
		if gone {
			freed += n
			if !draft {
				removed = append(removed, key)
			}
		}
	}
	return freed, removed, nil
}

// sweep removes a file that nobody has locked, or only says that it would.
func sweep(path string, dry bool) (freed int64, gone bool, err error) {
	if dry {
		st, err := os.Stat(path)
		if err != nil {
			return 0, false, err
		}
		held, _, err := lease.Probe(path)
		return layout.Allocated(st), !held && err == nil, err
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			return 0, false, nil
		}
		return 0, false, err
	}
	st, err := f.Stat()
	if err != nil || !isFileAt(f, path) {
		return 0, false, err
	}
	err = os.Remove(path)
	return layout.Allocated(st), err == nil, err
}
