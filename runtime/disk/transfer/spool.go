package transfer

import (
	"context"
	"fmt"
	"io"
	"os"

	"microagent/runtime/disk/sparse"
)

// AddStream is Add for content whose size nobody knows before its end.
func (p *Pack) AddStream(ctx context.Context, e Entry, content io.Reader) (int64, error) {
	f, err := spool(content)
	if err != nil {
		return 0, fmt.Errorf("keep the stream until its size is known: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	e.Size = info.Size()
	return p.Add(e, sparse.New(ctx, f, info))
}

// spool keeps a stream in a file without a name. What is all zero is a hole of it.
func spool(r io.Reader) (*os.File, error) {
	f, err := os.CreateTemp("", "microagent-cp-")
	if err != nil {
		return nil, err
	}
	if err = os.Remove(f.Name()); err == nil {
		w := sparse.NewWriter(f)
		if _, err = io.CopyBuffer(w, struct{ io.Reader }{r}, make([]byte, atOnce)); err == nil {
			err = w.End()
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

const atOnce = 64 << 10 // bytes: what a pipe gives in one read, and so the least length of a hole
