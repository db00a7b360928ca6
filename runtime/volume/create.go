package volume

import (
	"context"
	"errors"
	"fmt"
	"os"

	"microagent/runtime/disk/ext4/super"
	"microagent/runtime/driver"
	"microagent/schema/quantity"
)

// Create makes an empty volume: image first, then record. An image that an interrupted Create left, pristine and of
// the right size, is taken over.
func (s *Store) Create(ctx context.Context, spec driver.VolumeSpec) (driver.Volume, bool, error) {
	const op = "create volume"
	if err := checkSize(op, spec.Name, spec.Size); err != nil {
		return driver.Volume{}, false, err
	}
	unlock, err := s.lockWith(ctx, op, spec)
	if err != nil {
		return driver.Volume{}, false, err
	}
	defer unlock()
	r, err := s.load(spec.Name)
	if err != nil {
		return driver.Volume{}, false, err
	}
	info, err := s.stat(spec.Name)
	if err != nil {
		return driver.Volume{}, false, err
	}
	switch {
	case r != nil && info == nil:
		return driver.Volume{}, false, &driver.Error{
			Class: driver.ErrCorrupt, Op: op, Object: spec.Name,
			Err:  fmt.Errorf("its record is there and its image %s is not", s.State.VolumeImage(spec.Name)),
			Next: "put the image back, or run: microagent volume delete " + spec.Name,
		}
	case r != nil:
		if err := same(op, spec, r.Project, info.Size()); err != nil {
			return driver.Volume{}, false, err
		}
		v, err := s.Get(ctx, spec.Name)
		return v, false, err
	case info == nil && spec.From != "":
		return s.createFrom(ctx, op, spec)
	case info == nil && (spec.Image != nil || spec.Bundle != ""):
		return s.createOf(ctx, op, spec)
	case info == nil:
		if err := s.Disks.Empty(ctx, driver.EmptySpec{Size: spec.Size, Label: label(spec.Name)}, s.State.VolumeImage(spec.Name)); err != nil {
			return driver.Volume{}, false, &driver.Error{Op: op, Object: spec.Name, Err: err, Next: driver.Next(err)}
		}
	case info.Size() != spec.Size || !Pristine(s.State.VolumeImage(spec.Name)):
		return driver.Volume{}, false, &driver.Error{
			Class: driver.ErrExists, Op: op, Object: spec.Name,
			Err:  fmt.Errorf("%s is there without a record", s.State.VolumeImage(spec.Name)),
			Next: "to keep it and its data: microagent volume adopt " + spec.Name,
		}
	}
	fresh := s.newRecord(spec.Name, spec.Project, spec.Size)
	if err := s.save(&fresh); err != nil {
		return driver.Volume{}, false, err
	}
	v, err := s.born(&fresh)
	return v, err == nil, err
}

// same says whether what is there is what was asked for.
func same(op string, spec driver.VolumeSpec, project string, size int64) error {
	if project != spec.Project {
		owner := "project " + project
		if project == "" {
			owner = "no project"
		}
		return &driver.Error{
			Class: driver.ErrRefused, Op: op, Object: spec.Name,
			Err: fmt.Errorf("it is there already and belongs to %s", owner), Next: "choose another name, or take it over: " + adopt(spec.Name, spec.Project),
		}
	}
	if size != spec.Size {
		e := &driver.Error{
			Class: driver.ErrExists, Op: op, Object: spec.Name,
			Err: fmt.Errorf("it is there already with %s, not %s", quantity.Size(size), quantity.Size(spec.Size)),
		}
		if size < spec.Size {
			e.Next = "choose another name, or let it grow: microagent volume grow " + spec.Name + " --size " + quantity.Size(spec.Size).Text()
		} else {
			e.Next = "volumes do not shrink; choose another name"
		}
		return e
	}
	return nil
}

// label is the file system's: ext4 has room for 16 bytes.
func label(name string) string { return name[:min(len(name), 16)] }

// Pristine says whether image is an ext4 file system that nothing mounted or wrote to since it was made: what a
// creation left that was cut short.
func Pristine(image string) bool {
	f, err := os.Open(image)
	if err != nil {
		return false
	}
	defer f.Close()
	sb, err := super.Read(f)
	return err == nil && sb.Untouched()
}

// Adopt writes project into the volume's record; an image without one, or with one that can't be understood, gets a new
// record. The latter is protected by it: it may have been, and only its owner can say.
func (s *Store) Adopt(ctx context.Context, name, project string) error {
	const op = "adopt volume"
	unlock, err := s.lock(ctx, op, name)
	if err != nil {
		return err
	}
	defer unlock()
	r, err := s.load(name)
	torn := errors.Is(err, driver.ErrCorrupt)
	if err != nil && !torn {
		return err
	}
	info, err := s.stat(name)
	if err != nil {
		return err
	}
	if info == nil {
		if r == nil {
			return s.notFound(op, name)
		}
		return &driver.Error{Class: driver.ErrCorrupt, Op: op, Object: name, Err: errors.New("its image is gone"), Next: NextGone(name)}
	}
	if r != nil && r.Project == project && changed(r, s.State.VolumeImage(name), info.Size()) == "" {
		return nil
	}
	l, err := s.hold(op, name)
	if err != nil {
		return err
	}
	defer l.Close()
	if r == nil {
		fresh := s.newRecord(name, project, info.Size())
		r = &fresh
		r.Protected = torn
	}
	if r.Project != project {
		r.Declared = 0 // by another's applies
	}
	r.Project, r.Size, r.UUID = project, info.Size(), ""
	return s.save(r)
}

// Protect sets or lifts the protection against deletion.
func (s *Store) Protect(ctx context.Context, name string, on bool) error {
	const op = "protect volume"
	unlock, err := s.lock(ctx, op, name)
	if err != nil {
		return err
	}
	defer unlock()
	r, err := s.load(name)
	if err != nil {
		return err
	}
	if r == nil {
		return s.notFound(op, name)
	}
	r.Protected = on
	return s.save(r)
}
