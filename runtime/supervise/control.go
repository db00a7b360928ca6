package supervise

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
	"microagent/runtime/layout"
)

// control is the listening control socket.
type control struct {
	listener net.Listener
	done     chan struct{}

	mu    sync.Mutex
	conns map[net.Conn]bool
}

// listen opens the control socket, however long the path of the folder is. A socket file that lies there belongs
// to a supervisor that is dead: this one has the lease.
func (s *supervisor) listen() (*control, error) {
	dir, err := os.Open(s.folder.Dir)
	if err != nil {
		return nil, fmt.Errorf("open control socket: %w", err)
	}
	defer dir.Close()
	path := s.folder.File(layout.ControlSocket)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("open control socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), layout.ControlSocket)})
	if err != nil {
		return nil, fmt.Errorf("open control socket: %w", err)
	}
	// The name that it was bound by is of no use later: the file is removed by its path.
	l.SetUnlinkOnClose(false)
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("open control socket: %w", err)
	}
	c := &control{listener: l, done: make(chan struct{}), conns: map[net.Conn]bool{}}
	go func() {
		defer close(c.done)
		s.accept(l, c)
	}()
	return c, nil
}

func (s *supervisor) accept(l *net.UnixListener, c *control) {
	for {
		conn, err := l.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			s.log.Warn("accept", "error", err)
			time.Sleep(10 * time.Millisecond)
			continue
		}
		if err := checkPeer(conn); err != nil {
			s.log.Warn("refused a client", "error", err)
			conn.Close()
			continue
		}
		c.mu.Lock()
		c.conns[conn] = true
		c.mu.Unlock()
		s.clients.Go(func() {
			s.answer(conn)
			conn.Close()
			c.mu.Lock()
			delete(c.conns, conn)
			c.mu.Unlock()
		})
	}
}

// Close ends accepting, and gives the calls under way a limit to send their answer.
func (c *control) Close(limit time.Duration) {
	c.listener.Close()
	<-c.done
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.conns {
		_ = conn.SetDeadline(time.Now().Add(limit))
	}
}

// checkPeer refuses every user but ours and root.
func checkPeer(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return err
	}
	if credErr != nil {
		return credErr
	}
	if cred.Uid != 0 && int(cred.Uid) != os.Geteuid() {
		return fmt.Errorf("process %d belongs to user %d", cred.Pid, cred.Uid)
	}
	return nil
}

// requestLimit is how long a client may take to say what it wants.
const requestLimit = 10 * time.Second

func (s *supervisor) answer(conn net.Conn) {
	c := newChannel(conn)
	_ = conn.SetReadDeadline(time.Now().Add(requestLimit))
	kind, payload, err := c.receive()
	if err != nil || kind != frameRequest {
		return
	}
	_ = conn.SetReadDeadline(time.Time{})
	var req Request
	if err := json.Unmarshal(payload, &req); err != nil {
		_ = c.sendJSON(frameResult, Result{Failure: &Failure{Class: "invalid", Message: "unreadable request"}})
		return
	}
	if req.Version != Version && !req.Call.frozen() {
		_ = c.sendJSON(frameResult, Result{Version: Version, Failure: failure(&driver.Error{
			Class: driver.ErrUnsupported, Op: string(req.Call), Object: s.spec.Workspace.Name,
			Err: fmt.Errorf("it runs under microagent %s, which speaks version %d", s.spec.Tool, Version), Next: "restart it",
		})})
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	result, err := s.handle(ctx, cancel, c, req)
	result.Failure = failure(err)
	_ = c.sendJSON(frameResult, result)
}

// watchHangUp cancels a call whose client has nothing more to say and goes away.
func watchHangUp(c *channel, cancel context.CancelFunc) {
	for {
		if _, _, err := c.receive(); err != nil {
			cancel()
			return
		}
	}
}

func (s *supervisor) handle(ctx context.Context, cancel context.CancelFunc, c *channel, req Request) (Result, error) {
	switch req.Call {
	case CallHello, CallStatus:
		run := s.snapshot()
		return Result{Version: Version, Tool: s.spec.Tool, Run: &run}, nil
	case CallWait:
		go watchHangUp(c, cancel)
		return s.untilEnd(ctx)
	case CallHalt:
		s.requestStop(stopRequest{grace: req.Grace})
		go watchHangUp(c, cancel)
		return s.untilEnd(ctx)
	case CallKill:
		s.requestStop(stopRequest{force: true})
		go watchHangUp(c, cancel)
		return s.untilEnd(ctx)
	case CallLogs:
		go watchHangUp(c, cancel)
		return Result{}, s.sendLogs(ctx, c, req)
	case CallPing:
		return s.withGuest(ctx, "ask workspace", func(ctx context.Context, session *proto.Session) (Result, error) {
			go watchHangUp(c, cancel)
			return Result{}, session.Ping(ctx)
		})
	case CallExec:
		return s.withGuest(ctx, opExec, func(ctx context.Context, session *proto.Session) (Result, error) {
			return s.exec(ctx, cancel, c, session, req.Exec)
		})
	case CallSignal, CallResize:
		return Result{}, s.steer(ctx, req)
	}
	return s.withGuest(ctx, string(req.Call)+" in workspace", func(ctx context.Context, session *proto.Session) (Result, error) {
		return s.files(ctx, cancel, c, session, req)
	})
}

func (s *supervisor) untilEnd(ctx context.Context) (Result, error) {
	select {
	case <-s.ended:
	case <-ctx.Done():
		return Result{}, ctx.Err()
	}
	run := s.snapshot()
	s.mu.Lock()
	defer s.mu.Unlock()
	return Result{Run: &run, Forced: s.forced}, nil
}

func (s *supervisor) sendLogs(ctx context.Context, c *channel, req Request) error {
	emit := func(stream byte, data []byte) error {
		kind, name := byte(frameOut), "stdout"
		if stream == 2 {
			kind, name = frameErr, "stderr"
		}
		if req.Stream != "" && req.Stream != name {
			return nil
		}
		_, err := frameWriter{c, kind}.Write(data)
		return err
	}
	if !req.Follow {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		if err := s.output.follow(ctx, emit); !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	}
	return s.output.follow(ctx, emit)
}
