package apply

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"

	"microagent/apply/folder"
	"microagent/runtime/driver"
)

// BringOut writes the outputs of a job that ended to where they were asked for, each whole or not at all, and notes those
// that lie there. Of a job that was lost each is told of as not collected.
func BringOut(ctx context.Context, d driver.Set, j driver.Job, how Writing) (written []driver.Fetched, unwritten []error) {
	for _, o := range j.Outputs {
		got, err := bringOne(ctx, d, j, o, how)
		if err == nil {
			err = d.Jobs.TakeJob(ctx, j.Workspace, j.ID, o.Name)
		}
		if err != nil {
			unwritten = append(unwritten, err)
			continue
		}
		written = append(written, got)
	}
	return written, unwritten
}

func bringOne(ctx context.Context, d driver.Set, j driver.Job, o driver.JobOutput, how Writing) (driver.Fetched, error) {
	tree, f, err := d.Jobs.JobOutput(ctx, j.Workspace, j.ID, o.Name)
	if err != nil {
		return f, err
	}
	defer tree.Close()
	files, target, err := jobTarget(o.To)
	if err != nil {
		return f, err
	}
	defer files.Close()
	return writeAt(ctx, d.Outputs, tree, f, o.To, target, how)
}

// jobTarget is an absolute host path as a place for an output: with no symlink on the way, and in no git folder.
func jobTarget(path string) (*folder.Folder, driver.Target, error) {
	files, err := folder.Open("/", nil)
	if err != nil {
		return nil, driver.Target{}, err
	}
	target, err := files.Target(path)
	if err != nil {
		files.Close()
		return nil, driver.Target{}, err
	}
	return files, target, nil
}

// JobPlace gives the place that a user named for an output of a job: absolute, through no symlink, so that what becomes one
// until the job has ended is not followed. ErrRefused for one in a git folder.
func JobPlace(name string) (string, error) {
	abs, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	dir, rest := filepath.Dir(abs), filepath.Base(abs)
	for {
		real, err := filepath.EvalSymlinks(dir)
		if err == nil {
			abs = filepath.Join(real, rest)
			break
		}
		if dir == "/" || !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		dir, rest = filepath.Dir(dir), filepath.Join(filepath.Base(dir), rest)
	}
	files, _, err := jobTarget(abs)
	if err != nil {
		return "", err
	}
	files.Close()
	return abs, nil
}
