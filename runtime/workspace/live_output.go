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
	r, err := o.Store.need(op, name)
	if err != nil {
		return nil, driver.Fetched{}, err
	}
	client, err := o.Store.client(op, name)
	if err != nil {
		return nil, driver.Fetched{}, err
	}
	i := slices.IndexFunc(r.Spec.Outputs, func(d driver.Output) bool { return d.Name == out })
	if i < 0 {
		return nil, driver.Fetched{}, &driver.Error{Class: driver.ErrNotFound, Op: op, Object: name,
			Err: fmt.Errorf("it has no output %q", out), Next: "cp copies any file"}
	}
	declared := r.Spec.Outputs[i]
	limit := declared.Limit
	if limit <= 0 {
		limit = output.DefaultLimit
	}
	tree := stream(ctx, func(ctx context.Context, w io.Writer) error {
		if err := client.Fetch(ctx, declared.Path, limit, w); err != nil {
			return o.Store.controlError(ctx, op, name, name, err)
		}
		return nil
	})
	return tree, driver.Fetched{Name: out, From: declared.Path}, nil
}
