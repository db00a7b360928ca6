package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// Server answers the calls on a workspace's control socket.
type Server struct {
	service   Service
	workspace string // its name
	tool      string // version of the microagent that runs
	log       *slog.Logger
	listener  *net.UnixListener
	accepting sync.WaitGroup
	clients   sync.WaitGroup

	mu    sync.Mutex // of these
	conns map[net.Conn]bool
	execs map[string]chan<- Steering
}

// Listen opens the control socket of a folder, however long its path is, and answers by service from now on. A socket
// file that lies there belongs to a supervisor that is dead: this one has the lease.
func Listen(folder layout.Workspace, workspace, tool string, log *slog.Logger, service Service) (*Server, error) {
	dir, err := os.Open(folder.Dir)
	if err != nil {
		return nil, fmt.Errorf("open control socket: %w", err)
	}
	defer dir.Close()
	path := folder.File(layout.ControlSocket)
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
	s := &Server{
		service: service, workspace: workspace, tool: tool, log: log, listener: l,
		conns: map[net.Conn]bool{}, execs: map[string]chan<- Steering{},
	}
	s.accepting.Go(s.accept)
	return s, nil
}

func (s *Server) accept() {
	for {
		conn, err := s.listener.AcceptUnix()
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
		s.mu.Lock()
		s.conns[conn] = true
		s.mu.Unlock()
		s.clients.Go(func() {
			s.answer(conn)
			conn.Close()
			s.mu.Lock()
			delete(s.conns, conn)
			s.mu.Unlock()
		})
	}
}

// Close ends accepting, and gives the calls under way a limit to send their answer and then a moment to end. done says
// whether all of them have: one that has not ends with the process.
func (s *Server) Close(limit, moment time.Duration) (done bool) {
	s.listener.Close()
	s.accepting.Wait()
	s.mu.Lock()
	for conn := range s.conns {
		_ = conn.SetDeadline(time.Now().Add(limit))
	}
	s.mu.Unlock()
	gone := make(chan struct{})
	go func() {
		s.clients.Wait()
		close(gone)
	}()
	t := time.NewTimer(limit + moment)
	defer t.Stop()
	select {
	case <-gone:
		return true
	case <-t.C:
		return false
	}
}

// register makes an exec known to the calls signal and resize. Its id must be new.
func (s *Server) register(id string, to chan<- Steering) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.execs[id] != nil {
		return false
	}
	s.execs[id] = to
	return true
}

func (s *Server) unregister(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.execs, id)
}

// steer passes on what another connection than the exec's own asks for.
func (s *Server) steer(ctx context.Context, call Call, id string, what Steering) error {
	s.mu.Lock()
	to := s.execs[id]
	s.mu.Unlock()
	if to == nil {
		return &driver.Error{Class: driver.ErrNotFound, Op: string(call), Object: id, Err: errors.New("no such process runs")}
	}
	select {
	case to <- what:
		return nil
	case <-ctx.Done():
		return ctx.Err()
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
