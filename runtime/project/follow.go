package project

import (
	"bufio"
	"context"
	"errors"
	"fmt"
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
	log, err := rotate.NewFollower(path)
	if err != nil {
		return fmt.Errorf("follow %s: %w", path, err)
	}
	defer log.Close()
	for {
		if err := read(log, each); err != nil {
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

// read gives all whole lines that are there now.
func read(log *rotate.Follower, each func([]byte) error) error {
	for {
		stretch, _, err := log.Next()
		if err != nil || stretch == nil {
			return err
		}
		err = eachLine(bufio.NewReader(stretch), func(line []byte) error {
			log.Used(int64(len(line)) + 1)
			return each(line)
		})
		if err != nil {
			return err
		}
	}
}
