package supervise

import (
	"cmp"
	"context"
	"errors"
	"io"

	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
	"microagent/runtime/supervise/control"
	"microagent/schema/printable"
)

const opExec = "exec in workspace"

// Exec runs a process with the client's streams. When the client goes away the process is hung up on.
func (s calls) Exec(ctx context.Context, e control.Exec, streams control.ExecStreams) (exit control.Exit, err error) {
	if e.ID == mainID {
		return exit, &driver.Error{Class: driver.ErrInvalid, Op: opExec, Object: s.spec.Workspace.Name, Err: errors.New("no command")}
	}
	err = s.withGuest(ctx, opExec, func(ctx context.Context, session *proto.Session) error {
		exit, err = s.exec(ctx, session, e, streams)
		return err
	})
	return exit, err
}

func (s *supervisor) exec(ctx context.Context, session *proto.Session, e control.Exec, streams control.ExecStreams) (control.Exit, error) {
	p, err := session.Start(ctx, proto.ExecSpec{
		ID: e.ID, Terminal: e.Terminal, Size: proto.WindowSize(e.Size), Timeout: e.Spec.Timeout,
		Command: proto.Command{Argv: e.Spec.Argv, Env: e.Spec.Env, User: e.Spec.User, Workdir: e.Spec.Workdir},
	}, proto.Streams{Stdin: streams.Stdin, Stdout: streams.Stdout, Stderr: streams.Stderr})
	if err != nil {
		return control.Exit{}, err
	}
	defer steer(ctx, p, streams.Steering)()
	exit, err := p.Wait(ctx)
	// The guest knows the deadline too, and may tell of it before our own clock does.
	if ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) {
		hangingUp, cancel := context.WithTimeout(context.WithoutCancel(ctx), killLimit)
		defer cancel()
		_ = p.Signal(hangingUp, "SIGHUP")
		_ = p.Signal(hangingUp, "SIGCONT") // one that is stopped would never hear of it
		return control.Exit{}, cmp.Or(ctx.Err(), err)
	}
	if why := driver.OutOfMemory(printable.Line(exit.OutOfMemory), s.spec.Workspace.Memory); why != "" {
		sayLast(streams, e.Terminal, why)
	}
	if err == nil && e.Spec.Collect {
		err = s.collectNow(ctx, session, p.ID())
	}
	return control.Exit{Code: exit.Code, TimedOut: exit.TimedOut}, err
}

// sayLast writes a line about a process behind what it wrote itself, as the guest's agent does of one that did not start.
func sayLast(streams control.ExecStreams, terminal bool, line string) {
	to, end := streams.Stderr, "\n"
	if terminal {
		to, end = streams.Stdout, "\r\n"
	}
	if to != nil {
		_, _ = io.WriteString(to, "microagent: "+line+end)
	}
}

// steer signals and resizes a process, one after the other as they come. That it has ended meanwhile is no error of anyone's.
func steer(ctx context.Context, p *proto.Process, steering <-chan control.Steering) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case what := <-steering:
				passing, cancel := context.WithTimeout(ctx, killLimit)
				if what.Signal != "" {
					_ = p.Signal(passing, what.Signal)
				} else {
					_ = p.Resize(passing, proto.WindowSize(what.Size))
				}
				cancel()
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() { cancel(); <-done }
}
