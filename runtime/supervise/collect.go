package supervise

import (
	"context"
	"errors"
	"io"
	"path"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
	"microagent/runtime/layout"
	"microagent/runtime/output"
	"microagent/schema/printable"
)

// collect fetches the outputs of a process into the workspace's folder. What an earlier run left there and this one does not
// have is removed. Git folders come along, for a user who asks for them later: nobody runs git in that folder, and what
// brings an output to the user's leaves them out.
func (s *supervisor) collect(ctx context.Context, session *proto.Session, process string) []driver.Fetched {
	return s.collectInto(ctx, session, process, s.folder, s.spec.Workspace.Outputs)
}

// collectInto is collect into the outputs of a folder, which is the workspace's or a job's.
func (s *supervisor) collectInto(ctx context.Context, session *proto.Session, process string, folder layout.Workspace, outputs []driver.Output) []driver.Fetched {
	var list []driver.Fetched
	for _, o := range outputs {
		got, err := s.collectOne(ctx, session, process, folder, o)
		switch {
		case err == nil:
			list = append(list, got)
		case s.wasCut():
			list = append(list, driver.Fetched{Name: o.Name, From: o.Path, Error: s.describeLoss("it was not collected")})
		case o.Optional && errors.Is(err, driver.ErrNotFound):
		default:
			list = append(list, driver.Fetched{
				Name: o.Name, From: o.Path, Error: printable.Line(err.Error()), Missing: errors.Is(err, driver.ErrNotFound),
			})
		}
	}
	return list
}

// collectLast is collect at the end of a run. When the guest is cut short it is not waited for longer than a moment: it
// ends with the process, and the tree that it is at is swept by the next.
func (s *supervisor) collectLast(ctx context.Context, session *proto.Session) []driver.Fetched {
	fetching, cancel := context.WithTimeout(ctx, fetchLimit)
	defer cancel()
	done := make(chan []driver.Fetched, 1)
	go func() { done <- s.collect(fetching, session, mainID) }()
	select {
	case list := <-done:
		return list
	case <-s.guest.Done():
	}
	select {
	case list := <-done:
		return list
	case <-time.After(collectHurry):
	}
	var list []driver.Fetched
	for _, o := range s.spec.Workspace.Outputs {
		list = append(list, driver.Fetched{Name: o.Name, From: o.Path, Error: s.describeLoss("it was not collected")})
	}
	return list
}

// collectNow brings the outputs of a process out of a guest that goes on, and notes them in the run.
func (s *supervisor) collectNow(ctx context.Context, session *proto.Session, process string) error {
	ctx, cancel := context.WithTimeout(ctx, fetchLimit)
	defer cancel()
	collected := s.collect(ctx, session, process)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.change(func(r *driver.Run) { r.Collected = collected })
}

func (s *supervisor) collectOne(ctx context.Context, session *proto.Session, process string, folder layout.Workspace, o driver.Output) (driver.Fetched, error) {
	root, err := openOutputs(folder)
	if err != nil {
		return driver.Fetched{}, err
	}
	defer root.Close()
	limit := o.Limit
	if limit <= 0 {
		limit = output.DefaultLimit
	}
	tree, err := session.Fetch(ctx, o.Path, limit, process)
	if err != nil {
		return driver.Fetched{}, errors.Join(err, root.RemoveAll(o.Name))
	}
	defer tree.Close()
	first := &firstError{r: tree}
	got, err := output.New().Publish(ctx, first, driver.Target{Root: root, Path: o.Name}, driver.Publishing{Limit: limit, Git: true})
	if err != nil {
		// What the guest said is the cause, and what Publish makes of a stream that breaks is not.
		if first.err != nil {
			err = first.err
		}
		return driver.Fetched{}, errors.Join(err, root.RemoveAll(o.Name))
	}
	if got.Unchanged && !o.MayBeUnchanged {
		return driver.Fetched{}, errors.Join(&driver.UnchangedError{Path: o.Path}, root.RemoveAll(o.Name))
	}
	got.Name, got.From, got.Path = o.Name, o.Path, path.Join(layout.OutputsDir, o.Name)
	return got, nil
}

// firstError remembers why a stream broke.
type firstError struct {
	r   io.Reader
	err error
}

func (f *firstError) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && f.err == nil {
		f.err = err
	}
	return n, err
}
