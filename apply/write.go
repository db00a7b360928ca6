package apply

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"microagent/runtime/driver"
)

// Writing says how a user's command writes outputs to the host.
type Writing struct {
	Over  bool  // replace what else is there
	Git   bool  // bring git folders
	Limit int64 // bytes; 0 is the default
}

// Write writes the tree of f to a path on the host that a user named, whole or not at all, and gives what was written,
// with what was left out of it. What else is there stays, and is ErrRefused, unless it is the same tree.
func Write(ctx context.Context, outputs driver.Outputs, tree io.Reader, f driver.Fetched, path string, how Writing) (driver.Fetched, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return f, err
	}
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return f, err
	}
	defer root.Close()
	return writeAt(ctx, outputs, tree, f, path, driver.Target{Root: root, Path: filepath.Base(path)}, how)
}

// writeAt is Write to a target, which messages call path.
func writeAt(ctx context.Context, outputs driver.Outputs, tree io.Reader, f driver.Fetched, path string, target driver.Target, how Writing) (driver.Fetched, error) {
	there, err := outputs.Digest(ctx, target)
	switch {
	case errors.Is(err, driver.ErrNotFound) || how.Over:
	case err != nil:
		return f, err
	case there != f.Digest && there != f.WithGit:
		return f, Taken(f.Name, path)
	}
	got, err := outputs.Publish(ctx, tree, target, driver.Publishing{Limit: how.Limit, Git: how.Git})
	if err != nil {
		return got, fmt.Errorf("write output %s to %s: %w", f.Name, path, err)
	}
	f.LeftOut.Add(got.LeftOut)
	got.Name, got.From, got.LeftOut, got.Unchanged, got.Older = f.Name, f.From, f.LeftOut, f.Unchanged, f.Older
	return got, nil
}

// Taken says that something else has an output's place on the host.
func Taken(output, path string) error {
	return &driver.Error{Class: driver.ErrRefused, Op: "write output", Object: output, Err: fmt.Errorf("%s is there already", path),
		Next: "move it away, name another path, or say --overwrite-outputs"}
}
