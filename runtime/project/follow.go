package project

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fsnotify/fsnotify"

	"microagent/runtime/machine/rotate"
)

// follow gives the lines of the log at path, and then each that is added, until ctx ends.
func follow(ctx context.Context, path string, each func([]byte) error) error {
	watch, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("follow %s: %w", path, err)
	}
	defer watch.Close()
	// The folder, since the log itself is made anew at each turn. Before the first look, so that no change is missed.
	if err := watch.Add(filepath.Dir(path)); err != nil {
		return fmt.Errorf("follow %s: %w", path, err)
	}
	f := follower{path: path}
	defer f.close()
	if err := f.older(); err != nil {
		return err
	}
	for {
		if err := f.read(each); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-watch.Events: // of whichever file: reading on costs little
		case err := <-watch.Errors: // too many at once: reading on finds them all
			if err != nil && !errors.Is(err, fsnotify.ErrEventOverflow) {
				return fmt.Errorf("follow %s: %w", path, err)
			}
		}
	}
}

// follower is a reader of a log that others append to and turn.
type follower struct {
	path string
	part *os.File // nil while there is none
	at   int64    // where the next line of part begins
}

// older opens the part before the newest, where there is one.
func (f *follower) older() (err error) {
	f.part, err = os.Open(rotate.Old(f.path))
	if errors.Is(err, fs.ErrNotExist) {
		f.part, err = nil, nil
	}
	return err
}

// read gives all whole lines that are there now.
func (f *follower) read(each func([]byte) error) error {
	for {
		// A part that is no longer the newest gets nothing more: its end is looked at after that is known.
		next, err := os.Open(f.path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if f.part != nil {
			if err := f.lines(each); err != nil {
				closeAll(next)
				return err
			}
		}
		switch {
		case next == nil:
			return nil
		case f.part != nil && same(f.part, next):
			return next.Close()
		}
		f.close()
		f.part, f.at = next, 0
	}
}

// lines gives the whole lines of the part from where it was left.
func (f *follower) lines(each func([]byte) error) error {
	r := bufio.NewReader(io.NewSectionReader(f.part, f.at, 1<<62))
	return eachLine(r, func(line []byte) error {
		f.at += int64(len(line)) + 1
		return each(line)
	})
}

func (f *follower) close() { closeAll(f.part) }

func closeAll(f *os.File) {
	if f != nil {
		f.Close()
	}
}

func same(a, b *os.File) bool {
	x, err := a.Stat()
	if err != nil {
		return false
	}
	y, err := b.Stat()
	return err == nil && os.SameFile(x, y)
}
