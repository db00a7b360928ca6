package layout

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// WriteJSON publishes v at path, replacing what was there: file without a name, fsync, rename, fsync of the folder.
// The bytes are a function of v alone, and a file that has them already is left untouched. A crash leaves at most one
// stray name, which the next write of the same path takes over.
func WriteJSON(path string, v any) error {
	data, err := encode(path, v)
	if err != nil {
		return err
	}
	return WriteFile(path, data)
}

func encode(path string, v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode %s: %w", path, err)
	}
	return buf.Bytes(), nil
}

// WriteFile is WriteJSON for bytes.
func WriteFile(path string, data []byte) error {
	if old, err := readFile(path); err == nil && bytes.Equal(old, data) {
		return nil
	}
	for {
		err := writeOnce(path, data)
		if !errors.Is(err, errTaken) {
			return err
		}
	}
}

func writeOnce(path string, data []byte) error {
	d, err := newDraftOf(path, data)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.replace()
}

func newDraftOf(path string, data []byte) (*Draft, error) {
	d, err := NewDraft(path, 0o600)
	if err != nil {
		return nil, err
	}
	if _, err := d.Write(data); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// ReadJSON reads path into v. The error is fs.ErrNotExist when there is no such file.
func ReadJSON(path string, v any) error {
	data, err := readFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

// SyncDir makes names in dir durable.
func SyncDir(dir string) error {
	d, err := Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// A Draft is a file without a name in the folder of its final path: a crash leaves nothing behind.
type Draft struct {
	*os.File
	path string
	temp string // set where the file system knows no O_TMPFILE
}

// NewDraft opens a draft for path with mode perm.
func NewDraft(path string, perm fs.FileMode) (*Draft, error) {
	dir := filepath.Dir(path)
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, uint32(perm.Perm()))
	if err == nil {
		return &Draft{File: os.NewFile(uintptr(fd), path), path: path}, nil
	}
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) {
		return nil, &fs.PathError{Op: "open draft for", Path: path, Err: err}
	}
	return namedDraft(path, perm)
}

// NewTraceless opens a draft for path that leaves nothing even when its owner is killed, on a file system that can:
// errors.ErrUnsupported elsewhere. The folder of path need not be there before it is published: the nearest one that is
// has the draft until then.
func NewTraceless(path string, perm fs.FileMode) (*Draft, error) {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, uint32(perm.Perm()))
		switch {
		case err == nil:
			return &Draft{File: os.NewFile(uintptr(fd), path), path: path}, nil
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EISDIR):
			return nil, fmt.Errorf("draft for %s: %w", path, errors.ErrUnsupported)
		case !errors.Is(err, unix.ENOENT) || dir == filepath.Dir(dir):
			return nil, &fs.PathError{Op: "open draft for", Path: path, Err: err}
		}
	}
}

// namedDraft is a draft where the file system knows no O_TMPFILE.
func namedDraft(path string, perm fs.FileMode) (*Draft, error) {
	f, err := os.CreateTemp(filepath.Dir(path), DraftPrefix+filepath.Base(path)+".*")
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, err
	}
	if err := f.Chmod(perm); err != nil {
		f.Close()
		return nil, err
	}
	return &Draft{File: f, path: path, temp: f.Name()}, nil
}

// DraftPrefix begins the name of a draft on a file system without O_TMPFILE. One that can be locked has no
// owner and may be swept.
const DraftPrefix = ".draft-"

// Publish gives the draft its name, after fsync. The error is fs.ErrExist when the name is taken: nothing is
// ever replaced. The file stays open.
func (d *Draft) Publish() error {
	if err := d.Sync(); err != nil {
		return err
	}
	if err := d.Link(); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(d.path))
}

// SyncAll syncs drafts at once: what comes together, a file system writes together.
func SyncAll(drafts ...*Draft) error {
	errs := make([]error, len(drafts))
	var all sync.WaitGroup
	for i, d := range drafts {
		all.Go(func() { errs[i] = d.Sync() })
	}
	all.Wait()
	return errors.Join(errs...)
}

// Link is Publish of a draft that is synced; the name is durable after SyncDir.
func (d *Draft) Link() error {
	var err error
	if d.temp != "" {
		err = os.Link(d.temp, d.path)
		os.Remove(d.temp)
		d.temp = ""
	} else {
		err = Link(d.File, d.path)
	}
	if err != nil {
		return &fs.PathError{Op: "publish", Path: d.path, Err: err}
	}
	return nil
}

// Link gives a file that is open a name on its file system, also one that has none: the very file, whatever lies at another name
// of it by now. unix.EEXIST where the name is taken, unix.ENOENT where the file's last name was removed. Synced is nothing.
func Link(f *os.File, path string) error {
	from := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	return unix.Linkat(unix.AT_FDCWD, from, unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
}

// errTaken says that another writer of the same path took the draft's name away.
var errTaken = errors.New("another writer was faster")

// replace is one try of Replace; errTaken where another writer of the same path came in between.
func (d *Draft) replace() error {
	if err := d.Sync(); err != nil {
		return err
	}
	if err := d.rename(); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(d.path))
}

// rename gives a synced draft its name in place of what has it. Nothing can be linked over a file, so it goes by a second
// name, at which there is nothing but whole files: of two writers either may rename the other's.
func (d *Draft) rename() error {
	dir, name := filepath.Split(d.path)
	second := filepath.Join(dir, "."+name+".new")
	if d.temp != "" {
		second, d.temp = d.temp, ""
	} else if err := Link(d.File, second); errors.Is(err, fs.ErrExist) {
		// a killed writer's, or that of one at work
		if err := os.Remove(second); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return errTaken
	} else if err != nil {
		return &fs.PathError{Op: "publish", Path: d.path, Err: err}
	}
	err := os.Rename(second, d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return errTaken
	}
	if err != nil {
		os.Remove(second)
	}
	return err
}

// Rename is Replace of a draft that is synced; after SyncDir it is durable, and until then there is the one file or the other.
func (d *Draft) Rename() error {
	for {
		if err := d.rename(); !errors.Is(err, errTaken) {
			return err
		}
	}
}

// Replace gives the draft its name, after fsync, in place of the file that has it: whoever looks finds the one or the other.
// The draft itself stays open.
func (d *Draft) Replace() error {
	for {
		if err := d.replace(); !errors.Is(err, errTaken) {
			return err
		}
	}
}

// PublishAs is Publish under another name in the same folder, for drafts whose name follows from their bytes.
func (d *Draft) PublishAs(path string) error {
	d.path = path
	return d.Publish()
}

// Close closes the file; without Publish before it nothing is left.
func (d *Draft) Close() error {
	if d.temp != "" {
		os.Remove(d.temp)
	}
	return d.File.Close()
}
