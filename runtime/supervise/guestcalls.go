package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
)

// life is a guest from when it is configured to its end or its reboot.
type life struct {
	session *proto.Session
	over    chan struct{} // closed at its end
	why     error         // what a call that was under way is told; meaningful after over
}

// end says how the life of a workspace's guest ended: it reboots, err is why the run can't go on, or the run is over.
func (l *life) end(workspace string, reboots bool, err error, run driver.Run) {
	switch crash, crashed := errors.AsType[*driver.CrashError](err); {
	case reboots:
		l.why = meanwhile(workspace, "the guest rebooted meanwhile", "microagent logs --console ")
	case crashed:
		l.why = crash
	default:
		if err != nil {
			run.Phase, run.Error = driver.PhaseFailed, err.Error()
		}
		l.why = Meanwhile(workspace, run)
	}
	close(l.over)
}

// Meanwhile is the error of a call to a workspace's guest during which the run ended: a *driver.CrashError of a guest
// that failed, and else a *driver.Error of class ErrUnavailable.
func Meanwhile(workspace string, run driver.Run) error {
	switch {
	case run.Phase == driver.PhaseFailed:
		return run.Crash(workspace)
	case run.Stopped:
		return meanwhile(workspace, "it was stopped meanwhile", "microagent start ")
	case run.Phase == driver.PhaseLost, run.Phase.Alive(): // the latter while it is dying
		return meanwhile(workspace, "its supervisor was killed meanwhile", "microagent start ")
	}
	return meanwhile(workspace, "it ended meanwhile", "microagent status ")
}

func meanwhile(workspace string, why, next string) error {
	return &driver.Error{Class: driver.ErrUnavailable, Op: "use workspace", Object: workspace, Err: errors.New(why), Next: next + workspace}
}

// withGuest makes a call to the guest that is there now. When it goes away in the middle of the call, the error says
// why.
func (s *supervisor) withGuest(ctx context.Context, op string, call func(context.Context, *proto.Session) (Result, error)) (Result, error) {
	s.mu.Lock()
	life, phase := s.life, s.run.Phase
	s.mu.Unlock()
	if life == nil {
		why := fmt.Sprintf("the guest is not ready; the run is %s", phase)
		if phase != driver.PhaseStarting && phase.Alive() {
			why = "the guest reboots"
		}
		return Result{}, &driver.Error{
			Class: driver.ErrRefused, Op: op, Object: s.spec.Workspace.Name, Err: errors.New(why), Next: "microagent status " + s.spec.Workspace.Name,
		}
	}
	calling, cancel := s.forGuest(ctx)
	defer cancel()
	result, err := call(calling, life.session)
	cut := err != nil && s.wasCut()
	if ctx.Err() != nil || !cut && !errors.Is(err, driver.ErrUnavailable) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return result, err
	}
	select { // a connection ends before it is known why
	case <-life.over:
		return result, life.why
	case <-ctx.Done():
		return result, err
	case <-time.After(2 * settle):
	}
	return result, s.silent(op, err)
}

// silent is the error of a call that a guest does not answer that is there all the same: its VMM stands still, or its
// kernel does.
func (s *supervisor) silent(op string, err error) error {
	name := s.spec.Workspace.Name
	return &driver.Error{Class: driver.ErrUnavailable, Op: op, Object: name, Err: fmt.Errorf("the guest does not answer: %w", err),
		Next: "microagent halt --force " + name + " ends it"}
}

const opExec = "exec in workspace"

// exec runs a process with the client's streams. When the client goes away the process is hung up on.
func (s *supervisor) exec(ctx context.Context, cancel context.CancelFunc, c *channel, session *proto.Session, req *ExecRequest) (Result, error) {
	if req == nil || len(req.Spec.Argv) == 0 || req.ID == "" || req.ID == mainID {
		return Result{}, &driver.Error{Class: driver.ErrInvalid, Op: opExec, Object: s.spec.Workspace.Name, Err: errors.New("no command")}
	}
	streams := proto.Streams{Stdout: frameWriter{c, frameOut}}
	if !req.Terminal {
		streams.Stderr = frameWriter{c, frameErr}
	}
	if req.Input {
		streams.Stdin = &hangUp{r: &inputReader{c: c}, c: c, cancel: cancel}
	} else {
		go watchHangUp(c, cancel)
	}
	p, err := session.Start(ctx, proto.ExecSpec{
		ID: req.ID, Terminal: req.Terminal, Size: proto.WindowSize{Rows: req.Rows, Columns: req.Columns}, Timeout: req.Spec.Timeout,
		Command: proto.Command{Argv: req.Spec.Argv, Env: req.Spec.Env, User: req.Spec.User, Workdir: req.Spec.Workdir},
	}, streams)
	if err != nil {
		return Result{}, err
	}
	s.mu.Lock()
	s.execs[req.ID] = p
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.execs, req.ID)
		s.mu.Unlock()
	}()
	exit, err := p.Wait(ctx)
	if ctx.Err() != nil {
		hangingUp, cancel := context.WithTimeout(context.WithoutCancel(ctx), killLimit)
		defer cancel()
		_ = p.Signal(hangingUp, "SIGHUP")
		_ = p.Signal(hangingUp, "SIGCONT") // one that is stopped would never hear of it
		return Result{}, ctx.Err()
	}
	if err == nil && req.Spec.Collect {
		err = s.collectNow(ctx, session, p.ID())
	}
	return Result{Code: exit.Code, TimedOut: exit.TimedOut}, err
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

// hangUp is a client's input. After its end it goes on listening, for the client's going away.
type hangUp struct {
	r      *inputReader
	c      *channel
	cancel context.CancelFunc
}

func (h *hangUp) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		go watchHangUp(h.c, h.cancel)
	default:
		h.cancel()
	}
	return n, err
}

// steer signals or resizes a process that another connection's exec runs.
func (s *supervisor) steer(ctx context.Context, req Request) error {
	s.mu.Lock()
	p := s.execs[req.ID]
	s.mu.Unlock()
	if p == nil {
		return &driver.Error{Class: driver.ErrNotFound, Op: string(req.Call), Object: req.ID, Err: errors.New("no such process runs")}
	}
	if req.Call == CallResize {
		return p.Resize(ctx, proto.WindowSize{Rows: req.Rows, Columns: req.Columns})
	}
	return p.Signal(ctx, req.Signal)
}

// files answers the calls about the guest's files and disks.
func (s *supervisor) files(ctx context.Context, cancel context.CancelFunc, c *channel, session *proto.Session, req Request) (Result, error) {
	if req.Call != CallPut {
		go watchHangUp(c, cancel)
	}
	switch req.Call {
	case CallFetch:
		tree, err := session.Fetch(ctx, req.Path, req.Limit, "")
		if err != nil {
			return Result{}, err
		}
		defer tree.Close()
		_, err = io.Copy(frameWriter{c, frameOut}, tree)
		return Result{}, err
	case CallPut:
		return Result{}, session.Put(ctx, req.Path, &inputReader{c: c})
	case CallStat:
		info, err := session.Stat(ctx, req.Path, req.Follows)
		return Result{Size: info.Size, Mode: uint32(info.Mode), MTime: info.ModTime, UID: info.UID, GID: info.GID, Target: info.Target}, err
	case CallSync:
		return Result{}, session.Sync(ctx)
	case CallGrow:
		return s.grow(ctx, session, req)
	}
	return Result{}, &driver.Error{
		Class: driver.ErrUnsupported, Op: "control workspace", Object: s.spec.Workspace.Name, Err: fmt.Errorf("unknown call %q", req.Call),
	}
}

// grow makes a disk larger, then the file system on it.
func (s *supervisor) grow(ctx context.Context, session *proto.Session, req Request) (Result, error) {
	for _, a := range s.disks {
		if a.name != req.Volume || a.kind != driver.MountVolume && req.Volume != "" || a.kind != "" && req.Volume == "" {
			continue
		}
		info, err := a.lease.File().Stat()
		if err != nil {
			return Result{}, err
		}
		if a.disk.ReadOnly || req.Size < info.Size() {
			return Result{}, &driver.Error{
				Class: driver.ErrRefused, Op: "grow", Object: req.Volume,
				Err: fmt.Errorf("it has %d bytes, and can't become %d", info.Size(), req.Size),
			}
		}
		if req.Size > info.Size() {
			s.mu.Lock()
			vm := s.vm
			s.mu.Unlock()
			if err := vm.Client().ResizeDisk(ctx, a.disk.Serial, uint64(req.Size)); err != nil {
				return Result{}, err
			}
		}
		size, err := session.Grow(ctx, a.disk.Serial, req.Size)
		return Result{Size: size}, err
	}
	return Result{}, &driver.Error{Class: driver.ErrNotFound, Op: "grow", Object: req.Volume, Err: errors.New("it is not attached")}
}
