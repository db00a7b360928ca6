package volume

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"microagent/runtime/disk/ext4/read"
	"microagent/runtime/disk/target"
	"microagent/runtime/driver"
	"microagent/schema/quantity"
)

// lockWith locks a volume that is to be made, and the one whose content it gets.
func (s *Store) lockWith(ctx context.Context, op string, spec driver.VolumeSpec) (func(), error) {
	if from, _ := cut(spec.From); from != "" && from != spec.Name {
		return s.lockBoth(ctx, op, spec.Name, from)
	}
	return s.lock(ctx, op, spec.Name)
}

// createFrom makes a volume with the content of a source. What was cut short before is begun again.
func (s *Store) createFrom(ctx context.Context, op string, spec driver.VolumeSpec) (driver.Volume, bool, error) {
	fresh := s.newRecord(spec.Name, spec.Project, spec.Size)
	from, _ := cut(spec.From)
	err := s.reading(ctx, op, spec.From, func(ctx context.Context, image origin) error {
		info, err := image.Stat()
		if err != nil {
			return err
		}
		if info.Size() > spec.Size {
			return &driver.Error{Class: driver.ErrRefused, Op: op, Object: spec.Name,
				Err:  fmt.Errorf("%s has %s, and it is to have %s", spec.From, quantity.Size(info.Size()), quantity.Size(spec.Size)),
				Next: "give it as much: size: " + quantity.Size(info.Size()).Text()}
		}
		return s.make(&fresh, func(draft *target.FileDraft) error {
			if err := image.copyTo(ctx, draft); err != nil {
				return err
			}
			if _, err := settle(draft.File, relabel(draft.File, from, spec.Name)); err != nil {
				return err
			}
			return draft.Truncate(spec.Size)
		})
	})
	if err != nil {
		return driver.Volume{}, false, wrap(op, spec.Name, err)
	}
	v, err := s.born(&fresh)
	return v, true, err
}

// createOf makes a volume of a file or of a bundle. What was cut short before is begun again.
func (s *Store) createOf(ctx context.Context, op string, spec driver.VolumeSpec) (driver.Volume, bool, error) {
	in, what := io.ReadCloser(nil), "the bundle"
	var err error
	if spec.Image != nil {
		what = spec.Image.Path
		in, err = spec.Image.Files.Open(what)
	} else {
		in, err = filesOf(ctx, spec.Bundle)
	}
	if err != nil {
		return driver.Volume{}, false, wrap(op, spec.Name, err)
	}
	defer in.Close()
	fresh := s.newRecord(spec.Name, spec.Project, spec.Size)
	of := importing{driver.ImportSpec{Name: spec.Name, Size: spec.Size, Max: spec.Size}, op, func(size int64) string {
		return "give it as much: size: " + quantity.Size(size).Text()
	}}
	err = s.make(&fresh, func(draft *target.FileDraft) error {
		if err := s.unpack(ctx, of, in, draft); err != nil {
			return err
		}
		_, err := settle(draft.File, "")
		return err
	})
	if err != nil {
		e := of.explain(err)
		e.Err = fmt.Errorf("%s: %w", what, e.Err)
		return driver.Volume{}, false, e
	}
	v, err := s.born(&fresh)
	return v, true, err
}

// tree is a tar that is written while it is read.
type tree struct {
	*io.PipeReader
	written sync.WaitGroup
}

// Close waits for the writer.
func (t *tree) Close() error {
	err := t.PipeReader.Close()
	t.written.Wait()
	return err
}

// filesOf gives the files of a finished disk as a tar.
func filesOf(ctx context.Context, path string) (io.ReadCloser, error) {
	disk, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := disk.Stat()
	if err != nil {
		return nil, errors.Join(err, disk.Close())
	}
	fs, err := read.Open(disk, info.Size())
	if err != nil {
		return nil, errors.Join(err, disk.Close())
	}
	r, w := io.Pipe()
	t := &tree{PipeReader: r}
	t.written.Go(func() {
		_, err := writeTar(ctx, fs, w, true)
		w.CloseWithError(errors.Join(err, disk.Close()))
	})
	return t, nil
}
