package layout

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// successionWait is how long a command waits for another one that does the same.
const successionWait = 10 * time.Second

// records are where records lie, of which the folder of an older tool gets those that there are.
var records = []string{"volumes/*.json", "snapshots/*/*.json", "bundles/*.json", "projects/*.json", "workspaces/*/" + RecordFile, "workspaces/*/" + RecordPrev}

// succeed makes tool the one that the state directory was written by last, once the records are kept as the one before left
// them: who goes back to that one can put them back. They cost no room until they change, since a record is never written
// to but replaced.
func (s State) succeed(tool string) error {
	unlock, err := s.Lock(context.Background(), "state", "format", successionWait)
	if err != nil {
		return &UnusableError{s.Dir, err}
	}
	defer unlock()
	f, err := s.format()
	if err != nil || f.Tool == tool {
		return err
	}
	if err := s.keepRecords(f.Tool); err != nil {
		return &UnusableError{s.Dir, err}
	}
	return WriteJSON(s.FormatFile(), formatFile{Format: Format, Tool: tool})
}

// keepRecords makes the folder of an older tool, whole or not at all, in the place of one that it has.
func (s State) keepRecords(tool string) error {
	to, draft := s.olderOf(tool), filepath.Join(s.Older(), DraftPrefix+"records")
	if err := os.RemoveAll(draft); err != nil {
		return err
	}
	dir := os.DirFS(s.Dir)
	for _, pattern := range records {
		found, err := fs.Glob(dir, pattern)
		if err != nil {
			return err
		}
		for _, name := range found {
			if strings.HasSuffix(name, holderSuffix) {
				continue
			}
			kept := filepath.Join(draft, name)
			if err := os.MkdirAll(filepath.Dir(kept), 0o700); err != nil {
				return err
			}
			if err := os.Link(s.join(name), kept); err != nil && !errors.Is(err, fs.ErrNotExist) { // deleted meanwhile
				return err
			}
		}
	}
	if _, err := os.Lstat(draft); errors.Is(err, fs.ErrNotExist) {
		return nil // no record
	}
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	if err := os.Rename(draft, to); err != nil {
		return err
	}
	return SyncDir(s.Older())
}

// olderOf is the folder of a tool, whose name another program may have written.
func (s State) olderOf(tool string) string {
	return filepath.Join(s.Older(), "v"+strings.ReplaceAll(tool, "/", "-"))
}

// PruneOlder removes what was kept of older tools, or with dry looks for it. It gives their names, and the bytes of what has
// changed or gone since.
func (s State) PruneOlder(dry bool) (tools []string, bytes int64, err error) {
	list, err := os.ReadDir(s.Older())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	unlock := func() {}
	if !dry {
		if unlock, err = s.Lock(context.Background(), "state", "format", successionWait); err != nil {
			return nil, 0, err
		}
	}
	defer unlock()
	for _, e := range list {
		dir := filepath.Join(s.Older(), e.Name())
		if err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err == nil && alone(info) {
				bytes += Allocated(info)
			}
			return err
		}); err != nil {
			return nil, 0, err
		}
		if !strings.HasPrefix(e.Name(), DraftPrefix) {
			tools = append(tools, strings.TrimPrefix(e.Name(), "v"))
		}
		if !dry {
			if err := os.RemoveAll(dir); err != nil {
				return nil, 0, err
			}
		}
	}
	return tools, bytes, nil
}

// alone says that a file has no other name.
func alone(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Nlink == 1
}
