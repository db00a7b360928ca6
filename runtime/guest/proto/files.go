package proto

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"microagent/runtime/guest/proto/wire"
)

// FileInfo is what is at a guest path.
type FileInfo struct {
	Mode    fs.FileMode
	Size    int64
	ModTime time.Time
	UID     uint32
	GID     uint32
	Target  string // of a symlink
}

// Stat looks at a guest path; follow resolves a symlink at its end, within the guest. ErrNotFound when nothing
// is there.
func (s *Session) Stat(ctx context.Context, path string, follow bool) (FileInfo, error) {
	resp, err := s.agent.Stat(ctx, &wire.StatRequest{Path: path, Follow: follow})
	if err != nil {
		return FileInfo{}, callError("stat "+path+" in guest", err)
	}
	return FileInfo{
		Mode: fileMode(resp.GetMode()), Size: resp.GetSize(), ModTime: time.Unix(0, resp.GetMtimeNanos()),
		UID: resp.GetUid(), GID: resp.GetGid(), Target: cut(resp.GetTarget()),
	}, nil
}

// Fetch gives the tree at a guest path as a tar stream: a directory's entry is ".", what is in it has names
// relative to it; a regular file is one entry named ".". A symlink at the end of path is followed, those below
// are kept as they are; devices, sockets and pipes are entries without content, sockets as empty files of mode S_IFSOCK,
// and a file's further names are hard links. Content beyond limit bytes (0: FetchLimit) is an error of code
// CodeTooLarge in the middle of the stream. A stream that was cut off ends with io.ErrUnexpectedEOF, never io.EOF.
// Ending ctx cuts it off, also while a Read waits.
//
// since may name a process, also one that has ended: entries that were last changed before it started, by their ctime on
// the guest's own clock, have the PAX record driver.PAXBefore then.
func (s *Session) Fetch(ctx context.Context, path string, limit int64, since string) (io.ReadCloser, error) {
	st, err := open(ctx, s.dial, &wire.StreamHeader{Kind: KindFetch, Path: path, Limit: limit, ExecId: since})
	if err != nil {
		return nil, streamError("fetch "+path+" from guest", err)
	}
	return newFetched(ctx, st, "fetch "+path+" from guest"), nil
}

// fetched is a stream from the guest, until it is closed or ctx ends.
type fetched struct {
	st   *Stream
	op   string
	ctx  context.Context
	stop func() bool
}

func newFetched(ctx context.Context, st *Stream, op string) *fetched {
	return &fetched{st, op, ctx, context.AfterFunc(ctx, func() { _ = st.Close() })}
}

func (f *fetched) Read(p []byte) (int, error) {
	n, err := f.st.Read(p)
	if ge, ok := errors.AsType[*GuestError](err); ok {
		err = &GuestError{Op: f.op, Code: ge.Code, Message: ge.Message}
	}
	if err != nil && !errors.Is(err, io.EOF) && f.ctx.Err() != nil {
		err = fmt.Errorf("%s: %w", f.op, context.Cause(f.ctx))
	}
	return n, err
}

func (f *fetched) Close() error {
	f.stop()
	return f.st.Close()
}

// Put unpacks a tar stream below a directory of the guest, which is made when it is missing. Regular files replace
// what has their name, atomically; directories are merged; owners, modes and times are the tar's. It returns when
// everything is on the disk.
func (s *Session) Put(ctx context.Context, dir string, tar io.Reader) error {
	op := "put into " + dir + " in guest"
	st, err := open(ctx, s.dial, &wire.StreamHeader{Kind: KindPut, Path: dir})
	if err != nil {
		return streamError(op, err)
	}
	defer func() { _ = st.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = st.Close() })
	defer stop()
	src := &source{r: tar}
	_, copyErr := io.Copy(st, src)
	switch {
	case src.err != nil:
		_ = st.Fail(src.err)
		return fmt.Errorf("%s: %w", op, src.err)
	case copyErr == nil:
		copyErr = st.CloseWrite()
	}
	// The guest's answer is the truth, also when it took no more: an end when all is done, an error otherwise.
	_, err = io.Copy(io.Discard, st)
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", op, context.Cause(ctx))
	}
	if err == nil {
		err = copyErr
	}
	return streamError(op, err)
}

// source remembers that reading failed, to tell it from a failure to send.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// Log gives what the agent itself had to say since boot, and what it says from now on, until it is closed or ctx ends.
func (s *Session) Log(ctx context.Context) (io.ReadCloser, error) {
	st, err := open(ctx, s.dial, &wire.StreamHeader{Kind: KindLog})
	if err != nil {
		return nil, streamError("read guest's log", err)
	}
	return newFetched(ctx, st, "read guest's log"), nil
}

// streamError is callError for streams.
func streamError(op string, err error) error {
	switch ge, ok := errors.AsType[*GuestError](err); {
	case err == nil:
		return nil
	case ok:
		return &GuestError{Op: op, Code: ge.Code, Message: ge.Message}
	}
	return callError(op, err)
}

// fileMode turns st_mode into Go's.
func fileMode(m uint32) fs.FileMode {
	mode := fs.FileMode(m & 0o777)
	switch m & 0o170000 {
	case 0o040000:
		mode |= fs.ModeDir
	case 0o120000:
		mode |= fs.ModeSymlink
	case 0o010000:
		mode |= fs.ModeNamedPipe
	case 0o140000:
		mode |= fs.ModeSocket
	case 0o060000:
		mode |= fs.ModeDevice
	case 0o020000:
		mode |= fs.ModeDevice | fs.ModeCharDevice
	}
	for bit, m2 := range map[uint32]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if m&bit != 0 {
			mode |= m2
		}
	}
	return mode
}
