// Package volume keeps named ext4 disks: an image and its record beside each other in the state directory, each
// published whole. A volume dies only by Delete. An image without a record is reported and never swept; nothing
// here changes an image while anyone else holds a lease on it, and nothing here ever mounts one. cmd wires it into
// the engine; supervise and workspace use the names of its files.
package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// Empty makes empty file systems; driver.Disks is one.
type Empty interface {
	Empty(ctx context.Context, spec driver.EmptySpec, path string) error
}

// Store is the driver.Volumes of a state directory.
type Store struct {
	State layout.State
	Disks Empty
	Tool  string           // version, written into records
	Now   func() time.Time // nil means time.Now
	// GrowLive makes the disk of a running workspace larger, device and file system. Nil: a volume can't grow
	// while it is attached.
	GrowLive func(ctx context.Context, workspace, volume string, size int64) error
	// Frozen calls do while the guest of a running workspace writes nothing to the volume; what do did counts where the error
	// is nil. ErrUnsupported where that guest knows no freeze. Nil: a volume is not copied while it is written to.
	Frozen func(ctx context.Context, workspace, volume string, do func(ctx context.Context) error) error
	// TrimLive has a running guest discard what no file of the volume has. Nil: that waits until it has ended.
	TrimLive func(ctx context.Context, workspace, volume string) error

	swept sync.Once // finishDeletes, finishMoves
}

var (
	_ driver.Volumes       = (*Store)(nil)
	_ driver.VolumeData    = (*Store)(nil)
	_ driver.VolumeStreams = (*Store)(nil)
)

// kind is the volume's name in records and locks.
const kind = "volume"

// lockWait is how long a change waits for another command that works on the same volume.
const lockWait = 10 * time.Second

// sizeStep is what a size must be a multiple of: the block size of the file system.
const sizeStep = 4096

type record struct {
	layout.Meta
	Size      int64     `json:"size"`
	Created   time.Time `json:"created"`
	Protected bool      `json:"protected,omitempty"`
	// Declared is the size that an apply gave it last, where a command made it larger since.
	Declared int64 `json:"declared,omitempty"`
	// UUID is the file system's; "" in a record of an older version, until it is written again.
	UUID string `json:"uuid,omitempty"`
	// While it moves: the name that it gets, in the record under the old one, and the name that it had, in the other.
	MovingTo  string `json:"moving_to,omitempty"`
	MovedFrom string `json:"moved_from,omitempty"`
	// Making says that the image, a copy of something, was not there yet when this was written: a record without one is of a
	// volume that was never made, one with it of a volume.
	Making bool `json:"making,omitempty"`
}

func (s *Store) now() time.Time { return s.moment().Truncate(time.Second) }

// moment is now to the microsecond, for what is put in the order of its times.
func (s *Store) moment() time.Time {
	if s.Now != nil {
		return s.Now().UTC().Truncate(time.Microsecond)
	}
	return time.Now().UTC().Truncate(time.Microsecond)
}

func (s *Store) newRecord(name, project string, size int64) record {
	return record{
		Meta:    layout.Meta{Format: layout.Format, Kind: kind, Name: name, ID: layout.NewID(), Project: project, Tool: s.Tool},
		Size:    size,
		Created: s.now(),
	}
}

// load reads a volume's record, nil when there is none, or one that is no volume while it moves.
func (s *Store) load(name string) (*record, error) {
	r, err := s.read(name)
	if err != nil || r == nil {
		return nil, err
	}
	seen, err := s.visible(r)
	if err != nil {
		return nil, fmt.Errorf("look at volume %s: %w", name, err)
	}
	if !seen {
		return nil, nil
	}
	return r, nil
}

func (s *Store) read(name string) (*record, error) {
	var r record
	err := layout.ReadRecord(s.State.VolumeRecord(name), kind, name, &r)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, s.unreadable("read record of volume", name, err)
	}
	return &r, nil
}

// unreadable is the error of a record that can't be understood, or not by this version.
func (s *Store) unreadable(op, name string, err error) error {
	e := &driver.Error{Class: driver.ErrCorrupt, Op: op, Object: name, Err: err,
		Next: "its data are untouched; make it a new record: microagent volume adopt " + name}
	if project, _, ok := strings.Cut(name, "."); ok {
		e.Next += " --project " + project
	}
	if later, ok := errors.AsType[*layout.LaterRecordError](err); ok {
		e.Class, e.Next = driver.ErrUnsupported, "use microagent "+later.Tool+" or later"
	}
	return e
}

func (s *Store) save(r *record) error {
	r.learn(s.State.VolumeImage(r.Name))
	r.MovingTo, r.MovedFrom, r.Making = "", "", false
	err := layout.ReplaceRecord(s.State.VolumeRecord(r.Name), r)
	if _, later := errors.AsType[*layout.LaterRecordError](err); later {
		return s.unreadable("write record of volume", r.Name, err)
	}
	if err != nil {
		return fmt.Errorf("write record of volume %s: %w", r.Name, err)
	}
	return nil
}

// lock makes the caller the only one that changes the volume. What an interrupted delete left of it is finished, and a
// store's first change finishes that of all others: once, since each look reads every record there is.
func (s *Store) lock(ctx context.Context, op, name string) (func(), error) {
	if !layout.ValidName(name) {
		return nil, invalidName(op, name)
	}
	var err error
	s.swept.Do(func() {
		err = errors.Join(s.finishDeletes(ctx, name), s.finishMoves(ctx, name), s.finishMakings(ctx, name))
	})
	if err != nil {
		return nil, err
	}
	unlock, err := s.State.Lock(ctx, kind, name, lockWait)
	if locked, ok := errors.AsType[*layout.LockedError](err); ok {
		return nil, &driver.Error{Class: driver.ErrLocked, Op: op, Object: name, Err: locked, Next: "try again when it is done"}
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", op, name, err)
	}
	r, err := s.load(name)
	if err == nil && r != nil && r.Deleting {
		err = s.finishDelete(name)
	}
	if err == nil {
		err = s.finishSnapshots(name)
	}
	if err != nil && !errors.Is(err, driver.ErrCorrupt) { // that is told to whoever needs the record
		unlock()
		return nil, err
	}
	return unlock, nil
}

func invalidName(op, name string) error {
	return &driver.Error{
		Class: driver.ErrInvalid, Op: op, Object: fmt.Sprintf("%q", name), Err: errors.New("not a valid name"),
		Next: "use a lower-case letter, then up to 30 letters, digits and dashes",
	}
}

func checkSize(op, name string, size int64) error {
	var err error
	switch {
	case size <= 0:
		err = errors.New("the size must be above zero")
	case size%sizeStep != 0:
		err = fmt.Errorf("the size %d is not a multiple of %d bytes", size, sizeStep)
	default:
		return nil
	}
	return &driver.Error{Class: driver.ErrInvalid, Op: op, Object: name, Err: err, Next: "give a size such as 512MiB"}
}

func (s *Store) notFound(op, name string) error {
	return &driver.Error{Class: driver.ErrNotFound, Op: op, Object: name, Err: errors.New("there is no such volume"), Next: NextMissing(name)}
}

// NextMissing is what to do where there is no volume of that name. A name with a dot is one that an apply gives.
func NextMissing(name string) string {
	if strings.Contains(name, ".") {
		return "microagent volume list"
	}
	return "microagent volume create " + name + " --size 512MiB"
}

// NextGone is what to do about a volume that has a record and no image.
func NextGone(name string) string {
	return "put the image back, or give it up: microagent volume delete " + name
}

// stat is the image's file info, nil when there is no image.
func (s *Store) stat(name string) (fs.FileInfo, error) {
	info, err := os.Lstat(s.State.VolumeImage(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at volume %s: %w", name, err)
	}
	if !info.Mode().IsRegular() {
		return nil, &driver.Error{
			Class: driver.ErrCorrupt, Op: "look at volume", Object: name,
			Err: fmt.Errorf("%s is not a regular file", s.State.VolumeImage(name)),
		}
	}
	return info, nil
}
