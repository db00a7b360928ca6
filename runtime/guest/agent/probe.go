package agent

import (
	"context"
	"errors"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"microagent/runtime/guest/proto"
	"microagent/runtime/guest/proto/wire"
)

// sendProbes runs a command at each interval until the host closes the stream, and tells of the first run, of each that
// failed, and of one that passes after that: what passes time after time costs the host nothing.
func (a *Agent) sendProbes(ctx context.Context, st *proto.Stream) {
	if st.Ok() != nil {
		return
	}
	req, err := proto.ReadProbe(st)
	if err != nil {
		finish(st, err)
		return
	}
	gone, end := drained(st, nil)
	defer end()
	p, err := a.newProbe(req)
	if err == nil {
		defer p.close()
		to := proto.NewDatagrams(st)
		err = probeEach(ctx, gone, time.Duration(req.GetIntervalNanos()),
			func() (*wire.ProbeResult, error) { return p.run(ctx, gone) },
			func(r *wire.ProbeResult) error { return proto.SendProbed(to, r) })
	}
	if err != nil {
		_ = st.Fail(answer(err))
	}
}

// probeEach is sendProbes of what runs the command and tells of it. nil when the host is gone.
func probeEach(ctx context.Context, gone <-chan struct{}, interval time.Duration, run func() (*wire.ProbeResult, error), tell func(*wire.ProbeResult) error) error {
	t := time.NewTicker(interval)
	defer t.Stop()
	for passed := false; ; {
		r, err := run()
		if err != nil || r == nil {
			return err
		}
		before := passed
		if passed = hasPassed(r); !passed || !before {
			if tell(r) != nil {
				return nil
			}
		}
		select {
		case <-t.C:
		case <-gone:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

func hasPassed(r *wire.ProbeResult) bool { return r.GetCode() == 0 && !r.GetTimedOut() }

// probe is a command that is run again and again. What a run needs is made once, since a guest that idles is to cost
// next to nothing. None of its processes is one that the host knows by an id.
type probe struct {
	agent *Agent
	req   *wire.ProbeRequest
	said  *overheard

	command *command // nil when it is to be looked for anew
	of      *wire.ConfigureRequest
}

func (a *Agent) newProbe(req *wire.ProbeRequest) (*probe, error) {
	said, err := overhear()
	if err != nil {
		return nil, err
	}
	return &probe{agent: a, req: req, said: said}, nil
}

func (p *probe) close() { p.said.close() }

// run runs the command to its end. nil when the host was gone first: nobody asks any more, and it is asked to end.
func (p *probe) run(ctx context.Context, gone <-chan struct{}) (*wire.ProbeResult, error) {
	ended := make(chan syscall.WaitStatus, 1)
	pid, err := p.begin(func(s syscall.WaitStatus) { ended <- s })
	if why, ok := errors.AsType[*notRun](err); ok {
		p.command = nil
		return &wire.ProbeResult{Code: int32(why.code), Said: []byte("microagent: " + why.text + "\n")}, nil
	}
	if err != nil {
		return nil, err
	}
	r := &wire.ProbeResult{}
	signal, wait := unix.SIGTERM, time.Duration(p.req.GetTimeoutNanos())
	for {
		late, stop := after(wait)
		select {
		case status := <-ended:
			stop()
			r.Code = exitOf(status).GetCode()
			if !hasPassed(r) {
				p.command = nil // a user, a path or a file may be another
			}
			r.Said = p.said.take()
			return r, nil
		case <-late:
			r.TimedOut = true
			_ = p.agent.children.kill(-pid, signal)
			signal, wait = unix.SIGKILL, killAfter
		case <-gone:
			stop()
			_ = p.agent.children.kill(-pid, unix.SIGTERM)
			return nil, nil
		case <-ctx.Done():
			stop()
			_ = p.agent.children.kill(-pid, unix.SIGTERM)
			return nil, nil
		}
	}
}

// after is a time from now, never for 0.
func after(d time.Duration) (<-chan time.Time, func() bool) {
	if d == 0 {
		return nil, func() bool { return true }
	}
	t := time.NewTimer(d)
	return t.C, t.Stop
}

// begin starts the command. ended is called once it was reaped.
func (p *probe) begin(ended func(syscall.WaitStatus)) (pid int, err error) {
	a := p.agent
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.configured == nil:
		return 0, proto.Errorf(proto.CodeRefused, "the guest was not configured yet")
	case a.closing:
		return 0, proto.Errorf(proto.CodeRefused, "the guest is shutting down")
	}
	if p.command == nil || p.of != a.configured {
		own := a.configured.GetProcess()
		if p.command, err = resolve(merge(own, p.req.GetProcess()), accounts{passwdFile, groupFile}, false, own.GetWorkdir()); err != nil {
			return 0, err
		}
		p.of = a.configured
		if err := p.said.belongTo(p.command.id); err != nil {
			return 0, err
		}
	}
	c := p.command
	pid, err = a.children.start(c.path, c.argv, &syscall.ProcAttr{
		Dir: c.dir, Env: c.env, Files: p.said.files(),
		Sys: &syscall.SysProcAttr{Setsid: true, Credential: &syscall.Credential{Uid: c.id.uid, Gid: c.id.gid, Groups: c.id.groups}},
	}, ended)
	if err != nil {
		return 0, execFailed(c.path, err)
	}
	return pid, nil
}
