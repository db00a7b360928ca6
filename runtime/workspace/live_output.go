package workspace

import (
	"context"
	"fmt"
	"io"
	"slices"

	"microagent/runtime/driver"
	"microagent/runtime/output"
)

// Output opens a declared output as it is in the running guest now, as a tar stream of its tree, under the output's own
// limit. What it fetched has no digest yet. A reader that is closed early ends the fetching.
func (o Online) Output(ctx context.Context, name, out string) (io.ReadCloser, driver.Fetched, error) {
	const op = "fetch output of workspace"
	client, err := o.Store.Running(op, name)
	if err != nil {
		return nil, driver.Fetched{}, err
	}
	r, err := o.Store.need(op, name)
	if err != nil {
		return nil, driver.Fetched{}, err
	}
	i := slices.IndexFunc(r.Spec.Outputs, func(d driver.Output) bool { return d.Name == out })
	if i < 0 {
		return nil, driver.Fetched{}, &driver.Error{Class: driver.ErrNotFound, Op: op, Object: name,
			Err: fmt.Errorf("it has no output %q", out), Next: "microagent cp copies any file"}
	}
	declared := r.Spec.Outputs[i]
	limit := declared.Limit
	if limit <= 0 {
		limit = output.DefaultLimit
	}
	ctx, cancel := context.WithCancel(ctx)
	reader, w := io.Pipe()
	t := &liveStream{tarStream{PipeReader: reader, done: make(chan struct{})}, cancel}
	go func() {
		defer close(t.done)
		err := client.Fetch(ctx, declared.Path, limit, w)
		if err != nil {
			err = o.Store.controlError(ctx, op, name, err)
		}
		w.CloseWithError(err)
	}()
	return t, driver.Fetched{Name: out, From: declared.Path}, nil
}

// liveStream is a tarStream from a guest, which need not be read to its end.
type liveStream struct {
	tarStream
	cancel context.CancelFunc
}

func (l *liveStream) Close() error {
	l.cancel()
	return l.tarStream.Close()
}
