package project

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"

	"microagent/runtime/driver"
	"microagent/runtime/machine/rotate"
)

// historyPart is what one of the two parts of a history takes at most.
const historyPart = 4 << 20

var _ driver.History = (*Store)(nil)

// Record appends a line to the history of a project, whose records need not exist (any more).
func (s *Store) Record(project string, line []byte) error {
	const op = "record what happened in project"
	if err := validProject(op, project); err != nil {
		return err
	}
	if bytes.IndexByte(line, '\n') >= 0 {
		return &driver.Error{Class: driver.ErrInvalid, Op: op, Object: project, Err: errors.New("a record is one line")}
	}
	if err := os.MkdirAll(s.state.Projects(), 0o700); err != nil {
		return &driver.Error{Op: op, Object: project, Err: err}
	}
	if err := rotate.Append(s.state.ProjectEvents(project), historyPart, append(bytes.Clone(line), '\n')); err != nil {
		return &driver.Error{Op: op, Object: project, Err: err}
	}
	return nil
}

// Read gives the history of a project. A follower that lags behind by more than both parts misses what is between.
func (s *Store) Read(ctx context.Context, project string, on bool, each func(line []byte) error) error {
	const op = "read history of project"
	if err := validProject(op, project); err != nil {
		return err
	}
	path := s.state.ProjectEvents(project)
	if !on {
		r, err := rotate.Open(path)
		if err != nil {
			return &driver.Error{Op: op, Object: project, Err: err}
		}
		defer r.Close()
		return eachLine(bufio.NewReader(r), each)
	}
	if err := os.MkdirAll(s.state.Projects(), 0o700); err != nil {
		return &driver.Error{Op: op, Object: project, Err: err}
	}
	return follow(ctx, path, each)
}

// eachLine gives the whole lines of r. What follows the last newline is still being written, or was cut.
func eachLine(r *bufio.Reader, each func([]byte) error) error {
	for {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := each(bytes.TrimSuffix(line, []byte("\n"))); err != nil {
			return err
		}
	}
}
