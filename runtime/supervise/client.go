package supervise

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"sync"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// Client speaks to the supervisor of the workspace in a folder. It opens a connection for each call.
type Client struct{ Folder layout.Workspace }

// ErrGone says that no supervisor answers on a control socket.
var ErrGone = errors.New("no supervisor answers")

func (c Client) dial(ctx context.Context) (net.Conn, error) {
	dir, err := os.Open(c.Folder.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrGone
	}
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), layout.ControlSocket))
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrGone, err)
	}
	return conn, nil
}

// sinks take what a call sends.
type sinks struct{ out, err io.Writer }

// call makes one call: input, unless nil, goes up; frames go into the sinks; the result is the last frame. The
// error is ErrGone when the supervisor ended without one.
func (c Client) call(ctx context.Context, req Request, input io.Reader, to sinks) (Result, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return Result{}, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	req.Version = Version
	ch := newChannel(conn)
	if err := ch.sendJSON(frameRequest, req); err != nil {
		return Result{}, c.broken(ctx, err)
	}
	if input != nil {
		// Its end is not waited for: a read of a terminal can't be interrupted.
		go feed(ch, input)
	}
	for {
		kind, payload, err := ch.receive()
		if err != nil {
			return Result{}, c.broken(ctx, err)
		}
		var w io.Writer
		switch kind {
		case frameOut:
			w = to.out
		case frameErr:
			w = to.err
		case frameResult:
			var r Result
			if err := json.Unmarshal(payload, &r); err != nil {
				return Result{}, fmt.Errorf("control: %w", err)
			}
			return r, r.Failure.Error()
		}
		if w == nil {
			continue
		}
		if _, err := w.Write(payload); err != nil {
			return Result{}, fmt.Errorf("pass on what the guest wrote: %w", err)
		}
	}
}

func (c Client) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w: %w", ErrGone, err)
}

// feed sends input and its end. A reader that breaks leaves the input without an end, which the supervisor sees
// when the connection closes.
func feed(ch *channel, input io.Reader) {
	if _, err := io.CopyBuffer(struct{ io.Writer }{frameWriter{ch, frameInput}}, struct{ io.Reader }{input}, make([]byte, chunk)); err == nil {
		_ = ch.send(frameInputEnd, nil)
	}
}

// Status is the run as its supervisor sees it, and the supervisor's version.
func (c Client) Status(ctx context.Context) (driver.Run, string, error) {
	r, err := c.call(ctx, Request{Call: CallStatus}, nil, sinks{})
	if err != nil || r.Run == nil {
		return driver.Run{}, "", err
	}
	return *r.Run, r.Tool, nil
}

// Ping returns when the guest has answered. An error of class ErrUnavailable says that it did not.
func (c Client) Ping(ctx context.Context) error {
	_, err := c.call(ctx, Request{Call: CallPing}, nil, sinks{})
	return err
}

// Wait returns when the run has ended. The leases are free a moment later.
func (c Client) Wait(ctx context.Context) error {
	_, err := c.call(ctx, Request{Call: CallWait}, nil, sinks{})
	return err
}

// Halt stops the guest with a grace (0: the workspace's own) and says whether it had to be forced.
func (c Client) Halt(ctx context.Context, grace time.Duration) (forced bool, err error) {
	r, err := c.call(ctx, Request{Call: CallHalt, Grace: grace}, nil, sinks{})
	return r.Forced, err
}

// Kill stops the guest at once.
func (c Client) Kill(ctx context.Context) error {
	_, err := c.call(ctx, Request{Call: CallKill}, nil, sinks{})
	return err
}

// Logs writes what the run's process wrote; with follow until it ends.
func (c Client) Logs(ctx context.Context, stream string, follow bool, stdout, stderr io.Writer) error {
	_, err := c.call(ctx, Request{Call: CallLogs, Stream: stream, Follow: follow}, nil, sinks{stdout, stderr})
	return err
}

// Exec runs a process and gives its exit code. Ending ctx hangs up on it.
func (c Client) Exec(ctx context.Context, spec driver.ExecSpec, s driver.Streams) (code int, timedOut bool, err error) {
	var id [8]byte
	_, _ = rand.Read(id[:])
	req := ExecRequest{ID: hex.EncodeToString(id[:]), Spec: spec, Input: s.Stdin != nil, Terminal: s.Terminal}
	steering, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	if s.Terminal && s.Resize != nil {
		select {
		case size := <-s.Resize:
			req.Rows, req.Columns = size.Rows, size.Columns
		case <-ctx.Done():
			return 0, false, ctx.Err()
		}
	}
	wg.Go(func() { c.steer(steering, req.ID, s) })
	r, err := c.call(ctx, Request{Call: CallExec, Exec: &req}, s.Stdin, sinks{s.Stdout, s.Stderr})
	return r.Code, r.TimedOut, err
}

// steer passes signals and sizes on until ctx ends.
func (c Client) steer(ctx context.Context, id string, s driver.Streams) {
	sizes, signals := s.Resize, s.Signals
	if !s.Terminal {
		sizes = nil
	}
	for {
		req := Request{ID: id}
		select {
		case <-ctx.Done():
			return
		case size, ok := <-sizes:
			if !ok {
				sizes = nil
				continue
			}
			req.Call, req.Rows, req.Columns = CallResize, size.Rows, size.Columns
		case sig, ok := <-signals:
			if !ok {
				signals = nil
				continue
			}
			req.Call, req.Signal = CallSignal, sig
		}
		c.deliver(ctx, req)
	}
}

// deliver makes one steering call. A process that is still being started does not know its id yet: it is tried
// again for a moment. That it has ended meanwhile is no error of anyone's.
func (c Client) deliver(ctx context.Context, req Request) {
	for range 40 {
		_, err := c.call(ctx, req, nil, sinks{})
		if err == nil || !errors.Is(err, driver.ErrNotFound) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(25 * time.Millisecond):
		}
	}
}

// Fetch writes the tree at a guest path as a tar stream; see proto.Session.Fetch.
func (c Client) Fetch(ctx context.Context, path string, limit int64, tar io.Writer) error {
	_, err := c.call(ctx, Request{Call: CallFetch, Path: path, Limit: limit}, nil, sinks{out: tar})
	return err
}

// Put unpacks a tar stream below a directory of the guest; see proto.Session.Put.
func (c Client) Put(ctx context.Context, dir string, tar io.Reader) error {
	_, err := c.call(ctx, Request{Call: CallPut, Path: dir}, tar, sinks{})
	return err
}

// FileInfo is what is at a guest path.
type FileInfo struct {
	Mode     fs.FileMode
	Size     int64
	ModTime  time.Time
	UID, GID uint32
	Target   string // of a symlink; the guest's words
}

// Stat looks at a guest path; follow resolves a symlink at its end.
func (c Client) Stat(ctx context.Context, path string, follow bool) (FileInfo, error) {
	r, err := c.call(ctx, Request{Call: CallStat, Path: path, Follows: follow}, nil, sinks{})
	return FileInfo{Mode: fs.FileMode(r.Mode), Size: r.Size, ModTime: r.MTime, UID: r.UID, GID: r.GID, Target: r.Target}, err
}

// Sync returns when what the guest wrote so far is on its disks.
func (c Client) Sync(ctx context.Context) error {
	_, err := c.call(ctx, Request{Call: CallSync}, nil, sinks{})
	return err
}

// Grow makes an attached volume ("" is the root file system) larger, and its file system; it gives that one's size.
func (c Client) Grow(ctx context.Context, volume string, size int64) (int64, error) {
	r, err := c.call(ctx, Request{Call: CallGrow, Volume: volume, Size: size}, nil, sinks{})
	return r.Size, err
}
