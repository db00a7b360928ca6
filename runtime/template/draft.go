package template

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"microagent/runtime/layout"
	"microagent/schema/quantity"
)

// A Draft is a template that is being saved. Its folder has a name that no template has, and is locked for as long as somebody
// works on it: what a killed process left is swept by the next draft.
type Draft struct {
	Folder string
	Files  map[string]*os.File // by name, empty, to be written

	store Store
	shape Shape
	names []string
	dir   *os.File // locked
}

const draftPrefix = ".draft-"

// spare is what has to be free, in bytes, where a template is saved, which takes less than a tenth of it: what guests write
// is worth more than a start without a boot.
const spare = 1 << 30

// room refuses a template where so many bytes are free; a negative number is not known.
func room(free int64) error {
	if free < 0 || free >= spare {
		return nil
	}
	return fmt.Errorf("%s are free where it would lie, and less than %s is left to what guests write", quantity.Size(free), quantity.Size(spare))
}

// Draft begins a template for a shape, of files with these names, and sweeps what others left. There is none where little is
// free; nil with every error.
func (s Store) Draft(shape Shape, names []string) (d *Draft, err error) {
	if err := room(layout.Free(s.Dir)); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, err
	}
	d = &Draft{store: s, shape: shape, names: names, Files: map[string]*os.File{}}
	defer func() {
		if err != nil {
			d.Close()
			d = nil
		}
	}()
	if err := s.alone(d.begin); err != nil {
		return d, err
	}
	for _, name := range names {
		f, err := os.OpenFile(filepath.Join(d.Folder, name), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
		if err != nil {
			return d, err
		}
		d.Files[name] = f
	}
	return d, nil
}

// begin makes the draft's folder and locks it.
func (d *Draft) begin() (err error) {
	d.store.sweep()
	if d.Folder, err = os.MkdirTemp(d.store.Dir, draftPrefix); err != nil {
		return err
	}
	if d.dir, err = os.Open(d.Folder); err != nil {
		return err
	}
	return os.NewSyscallError("lock "+d.Folder, unix.Flock(int(d.dir.Fd()), unix.LOCK_EX|unix.LOCK_NB))
}

// Publish gives the draft its name. Nothing waits for the disk: a template is of one boot of the host (Shape.Host), so that what
// a power cut tore is found by nobody. Where the name is taken another was faster, which is a success. Templates that it takes
// the place of go.
func (d *Draft) Publish() error {
	for _, step := range d.steps() {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// steps are those of Publish. Killed after any of them, there is the template or a draft of the dead.
func (d *Draft) steps() []func() error {
	return []func() error{d.describe, d.name, func() error { return d.store.replace(d.shape) }}
}

func (d *Draft) describe() error {
	r := record{Shape: d.shape, Created: time.Now().UTC().Truncate(time.Second), Files: d.names, Memory: rand.Text()}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(d.Folder, recordFile), append(data, '\n'), 0o600)
}

func (d *Draft) name() error {
	name := filepath.Join(d.store.Dir, d.shape.Key())
	err := unix.Renameat2(unix.AT_FDCWD, d.Folder, unix.AT_FDCWD, name, unix.RENAME_NOREPLACE)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return &os.LinkError{Op: "publish template", Old: d.Folder, New: name, Err: err}
	}
	d.Folder = ""
	return nil
}

// Close gives the draft up, unless it was published.
func (d *Draft) Close() {
	for _, f := range d.Files {
		f.Close()
	}
	if d.Folder != "" {
		os.RemoveAll(d.Folder) // or the next draft does
	}
	if d.dir != nil {
		d.dir.Close()
	}
}

// alone keeps others from sweeping meanwhile: a folder is there before it is locked.
func (s Store) alone(work func() error) error {
	dir, err := os.Open(s.Dir)
	if err != nil {
		return err
	}
	defer dir.Close() // and with it the lock
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		return os.NewSyscallError("lock "+s.Dir, err)
	}
	return work()
}

// sweep removes drafts that nobody works on; see alone.
func (s Store) sweep() {
	list, _ := os.ReadDir(s.Dir)
	for _, e := range list {
		if !strings.HasPrefix(e.Name(), draftPrefix) {
			continue
		}
		path := filepath.Join(s.Dir, e.Name())
		dir, err := os.Open(path)
		if err != nil {
			continue
		}
		if unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			os.RemoveAll(path)
		}
		dir.Close()
	}
}
