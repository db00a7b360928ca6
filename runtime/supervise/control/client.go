package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// Client speaks to the supervisor of the workspace in a folder. It opens a connection for each call.
type Client struct {
	Folder layout.Workspace
	// IfRun is the only run that its calls are for, "" any: ErrRefused in another. A supervisor of minor 5 or less does not
	// look at it.
	IfRun string
}

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

// exchange is one call as its client sees it.
type exchange struct {
	request  any       // with a header
	input    io.Reader // goes up, unless nil
	credit   *credit   // how much of it, nil: all
	out, err io.Writer // take what comes
	begun    func(ch *channel)
	// leaves is for a call that the client ends: its result, which says that nothing of it is left, is awaited up to
	// LeaveTime.
	leaves bool
}

// LeaveTime is how long a client that ended its call waits for the result.
const LeaveTime = 5 * time.Second

func (c Client) head(call Call) header { return header{Version: Version, Call: call, IfRun: c.IfRun} }

// call makes a call and gives its result, the last frame. The error is ErrGone when the supervisor ended without one.
func call[R result](ctx context.Context, c Client, x exchange) (R, error) {
	var r R
	payload, err := c.carry(ctx, x)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(payload, &r); err != nil {
		return r, fmt.Errorf("control: %w", err)
	}
	return r, r.err()
}

// carry carries a call out up to its result.
func (c Client) carry(ctx context.Context, x exchange) ([]byte, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() {
		if half, ok := conn.(*net.UnixConn); ok && x.leaves {
			_ = conn.SetReadDeadline(time.Now().Add(LeaveTime))
			_ = half.CloseWrite()
			return
		}
		conn.Close()
	})
	defer stop()
	ch := newChannel(conn)
	if err := ch.sendJSON(frameRequest, x.request); err != nil {
		return nil, broken(ctx, err)
	}
	if x.begun != nil {
		x.begun(ch)
	}
	if x.input != nil {
		// Its end is not waited for: a read of a terminal can't be interrupted.
		go feed(ch, x.input, x.credit)
		defer x.credit.end()
	}
	for {
		kind, payload, err := ch.receive()
		if err != nil {
			return nil, broken(ctx, err)
		}
		var w io.Writer
		switch kind {
		case frameOut:
			w = x.out
		case frameErr:
			w = x.err
		case frameGrant:
			if x.credit.add(payload) != nil {
				return nil, errGrant
			}
		case frameResult:
			return payload, nil
		}
		if w == nil {
			continue
		}
		if _, err := w.Write(payload); err != nil {
			return nil, fmt.Errorf("pass on what the guest wrote: %w", err)
		}
	}
}

func broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w: %w", ErrGone, err)
}

// Status is the run as its supervisor sees it, and the supervisor's version.
func (c Client) Status(ctx context.Context) (driver.Run, string, error) {
	r, err := call[helloResult](ctx, c, exchange{request: c.head(CallStatus)})
	if err != nil || r.Run == nil {
		return driver.Run{}, "", err
	}
	return r.Run.run(), r.Tool, nil
}

// Ping returns when the guest has answered. An error of class ErrUnavailable says that it did not.
func (c Client) Ping(ctx context.Context) error {
	_, err := call[outcome](ctx, c, exchange{request: c.head(CallPing)})
	return err
}

// Ready returns when the run is ready, with the run. An error with a run is its own: it was given up, or has ended.
// ErrUnsupported says that an older microagent runs it, which knows no probes.
func (c Client) Ready(ctx context.Context) (driver.Run, error) {
	r, err := call[helloResult](ctx, c, exchange{request: c.head(CallReady)})
	if r.Run == nil {
		return driver.Run{}, err
	}
	return r.Run.run(), err
}

// Wait returns when the run has ended. The leases are free a moment later.
func (c Client) Wait(ctx context.Context) error {
	_, err := call[endedResult](ctx, c, exchange{request: c.head(CallWait)})
	return err
}

// Halt stops the guest with a grace (0: the workspace's own) and says whether it had to be forced.
func (c Client) Halt(ctx context.Context, grace time.Duration) (forced bool, err error) {
	r, err := call[endedResult](ctx, c, exchange{request: haltRequest{c.head(CallHalt), grace}})
	return r.Forced, err
}

// Kill stops the guest at once.
func (c Client) Kill(ctx context.Context) error {
	_, err := call[endedResult](ctx, c, exchange{request: c.head(CallKill)})
	return err
}

// Logs writes what the run's process wrote; with follow until it ends.
func (c Client) Logs(ctx context.Context, stream string, follow bool, stdout, stderr io.Writer) error {
	_, err := call[outcome](ctx, c, exchange{request: logsRequest{c.head(CallLogs), follow, stream}, out: stdout, err: stderr})
	return err
}

// Fetch writes the tree at a guest path as a tar stream; see proto.Session.Fetch.
func (c Client) Fetch(ctx context.Context, path string, limit int64, tar io.Writer) error {
	_, err := call[outcome](ctx, c, exchange{request: fetchRequest{c.head(CallFetch), path, limit}, out: tar})
	return err
}

// Put unpacks a tar stream below a directory of the guest; see proto.Session.Put.
func (c Client) Put(ctx context.Context, dir string, tar io.Reader) error {
	_, err := call[outcome](ctx, c, exchange{request: putRequest{c.head(CallPut), dir}, input: tar})
	return err
}

// Stat looks at a guest path; follow resolves a symlink at its end.
func (c Client) Stat(ctx context.Context, path string, follow bool) (FileInfo, error) {
	r, err := call[statResult](ctx, c, exchange{request: statRequest{c.head(CallStat), path, follow}})
	return r.fileInfo(), err
}

// Sync returns when what the guest wrote so far is on its disks.
func (c Client) Sync(ctx context.Context) error {
	_, err := call[outcome](ctx, c, exchange{request: c.head(CallSync)})
	return err
}

// Grow makes an attached volume ("" is the root file system) larger, and its file system; it gives that one's size.
func (c Client) Grow(ctx context.Context, volume string, size int64) (int64, error) {
	r, err := call[growResult](ctx, c, exchange{request: growRequest{c.head(CallGrow), volume, size}})
	return r.Size, err
}
