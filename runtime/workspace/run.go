package workspace

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/kernel"
	"microagent/runtime/layout"
	"microagent/runtime/lease"
	"microagent/runtime/machine"
	"microagent/runtime/supervise"
	"microagent/runtime/supervise/control"
	wanted "microagent/schema/spec"
)

// Start launches a supervisor and returns when its guest is ready. A workspace that runs is a success. One that waits to
// begin anew begins now, under a supervisor of its own.
func (s *Store) Start(ctx context.Context, name string, o driver.StartOptions) (driver.Run, error) {
	const op = "start workspace"
	unlock, err := s.lock(ctx, op, name, startWait)
	if err != nil {
		return driver.Run{}, err
	}
	defer unlock()
	r, err := s.stopped(ctx, op, name)
	if errors.Is(err, driver.ErrBusy) {
		run, readErr := s.awaitReady(ctx, name)
		switch {
		case readErr == nil && run.BacksOff():
			if _, err = s.Stop(ctx, name, driver.StopOptions{}); err == nil {
				r, err = s.stopped(ctx, op, name)
			}
		case readErr == nil && run != nil && run.Phase.Alive():
			return *run, o.RunsAlready(name)
		default:
			return driver.Run{}, errors.Join(readErr, err)
		}
	}
	if err != nil {
		return driver.Run{}, err
	}
	if err := s.rollBack(op, r); err != nil {
		return driver.Run{}, err
	}
	spec, err := s.spec(ctx, r, o)
	if err != nil {
		return driver.Run{}, err
	}
	run, err := supervise.Spawn(ctx, s.Supervisor, spec)
	if err == nil {
		err = s.forgetAgain(name)
	}
	return run, err
}

// readyPeriod is how often a start that another command began is looked at: its supervisor tells that command alone.
const readyPeriod = 50 * time.Millisecond

// awaitReady gives a run once it is starting no more, or waits to begin anew.
func (s *Store) awaitReady(ctx context.Context, name string) (*driver.Run, error) {
	for {
		run, err := control.ReadRun(s.State.Workspace(name))
		if err != nil || run == nil || run.Phase != driver.PhaseStarting || run.BacksOff() {
			return run, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(readyPeriod):
		}
	}
}

// spec is all that the run's supervisor needs to know.
func (s *Store) spec(ctx context.Context, r *record, o driver.StartOptions) (supervise.Spec, error) {
	const op = "start workspace"
	choice, err := s.VMM.Choose(ctx)
	if err != nil {
		return supervise.Spec{}, &driver.Error{Op: op, Object: r.Name, Err: err, Next: driver.Next(err)}
	}
	if r.Spec.Isolation == "hardware" && !choice.Hardware {
		return supervise.Spec{}, &driver.Error{
			Class: driver.ErrRefused, Op: op, Object: r.Name,
			Err:  fmt.Errorf("it demands isolation by hardware, and %s gives none: %s", choice.Name, choice.Why),
			Next: "run it on a host with KVM; what is missing here is told by: microagent doctor",
		}
	}
	vmm := kernel.Adapter
	if choice.Kind == machine.CloudHypervisor {
		vmm = kernel.CloudHypervisor
	}
	boot, err := s.Kernels.Boot("", vmm, r.Spec.CPUs)
	if err != nil {
		return supervise.Spec{}, &driver.Error{Op: op, Object: r.Name, Err: err, Next: driver.Next(err)}
	}
	state, err := s.absolute()
	if err != nil {
		return supervise.Spec{}, fmt.Errorf("%s %s: %w", op, r.Name, err)
	}
	spec := r.Spec
	spec.Applied = nil
	return supervise.Spec{
		Version: supervise.Version, Tool: s.Tool, State: state.Dir, Workspace: spec,
		RunID: layout.NewID(), RunKey: o.RunKey, Ports: o.Ports, Network: o.NetworkOf(&r.Spec), SpecDigest: layout.RecordDigest(state.Workspace(r.Name).Record()),
		Fresh: o.Fresh || r.Spec.Boot == wanted.BootFresh,
		VMM:   choice, Adapter: s.Adapter, Gateway: s.Gateway, Owner: r.Owner,
		Boot: machine.Boot{Kernel: boot.Kernel, Initramfs: boot.Initramfs, Cmdline: boot.Cmdline, Release: boot.Release},
	}, nil
}

// run is the newest run, an error when there was none.
func (s *Store) run(op, name string) (driver.Run, error) {
	if _, err := s.need(op, name); err != nil {
		return driver.Run{}, err
	}
	run, err := control.ReadRun(s.State.Workspace(name))
	if err != nil {
		return driver.Run{}, fmt.Errorf("%s %s: %w", op, name, err)
	}
	if run == nil {
		return driver.Run{}, &driver.Error{
			Class: driver.ErrRefused, Op: op, Object: name, Err: errors.New("it never ran"), Next: "microagent start " + name,
		}
	}
	return *run, nil
}

// Wait returns when the run has ended and its supervisor is gone, so that its disks are free.
func (s *Store) Wait(ctx context.Context, name string) (driver.Run, error) {
	const op = "wait for workspace"
	run, err := s.run(op, name)
	if err != nil {
		return driver.Run{}, err
	}
	if err := supervisor(run).Wait(ctx); err != nil {
		return driver.Run{}, err
	}
	return s.run(op, name)
}

// Silent asks the guest through its supervisor. A supervisor that stands still itself counts as a silent guest, and one
// of another version, which does not know the question, does not.
func (s *Store) Silent(ctx context.Context, name string) bool {
	run, err := control.ReadRun(s.State.Workspace(name))
	if err != nil || run == nil || !run.Phase.Alive() || run.Phase == driver.PhaseStarting {
		return false
	}
	err = control.Client{Folder: s.State.Workspace(name)}.Ping(ctx)
	return ctx.Err() != nil || errors.Is(err, driver.ErrUnavailable)
}

func supervisor(run driver.Run) lease.Process {
	return lease.Process{PID: run.PID, BootID: run.BootID, Start: run.Start}
}

// Stop asks the supervisor to stop the guest, and ends a supervisor that does not answer.
func (s *Store) Stop(ctx context.Context, name string, o driver.StopOptions) (driver.Stopped, error) {
	const op = "stop workspace"
	if _, err := s.need(op, name); err != nil && !errors.Is(err, driver.ErrCorrupt) { // what runs can be stopped all the same
		return driver.Stopped{}, err
	}
	folder := s.State.Workspace(name)
	run, err := control.ReadRun(folder)
	if err == nil && !o.Again {
		err = s.forgetAgain(name)
	} else if err == nil && run != nil && run.Phase.Alive() {
		err = s.noteAgain(name)
	}
	if err != nil {
		return driver.Stopped{}, fmt.Errorf("%s %s: %w", op, name, err)
	}
	if run == nil || !run.Phase.Alive() {
		if run != nil && run.Phase == driver.PhaseLost {
			err = control.Reclaim(ctx, folder)
		}
		return driver.Stopped{}, errors.Join(err, control.Settle(ctx, run))
	}
	stopped := driver.Stopped{Was: true, Forced: o.Force}
	client := control.Client{Folder: folder}
	if o.Force {
		err = s.kill(ctx, client, supervisor(*run))
	} else {
		stopped.Forced, err = client.Halt(ctx, o.Grace)
	}
	p := supervisor(*run)
	if errors.Is(err, control.ErrGone) && p.Alive() {
		// It does not listen yet, or not any more: the signal is heard either way.
		if err = p.Signal(syscall.SIGTERM); err == nil {
			err = s.awaitOrReclaim(ctx, p, folder)
		}
	}
	if err != nil && !errors.Is(err, control.ErrGone) {
		return stopped, &driver.Error{Op: op, Object: name, Err: err, Next: driver.Next(err)}
	}
	return stopped, p.Wait(ctx)
}

// forceLimit is how long a supervisor may take to end its guest by force, before it is ended itself.
const forceLimit = 4 * time.Second

// kill ends a guest at once, and with it a supervisor that does not come to it. It returns when the supervisor is gone.
func (s *Store) kill(ctx context.Context, client control.Client, p lease.Process) error {
	waiting, cancel := context.WithTimeout(ctx, forceLimit)
	defer cancel()
	err := client.Kill(waiting)
	if err == nil {
		err = p.Wait(waiting)
	}
	if waiting.Err() == nil || ctx.Err() != nil {
		return err
	}
	if err := p.Kill(ctx); err != nil {
		return err
	}
	return control.Reclaim(ctx, client.Folder)
}

// awaitOrReclaim gives a signalled supervisor time, then ends it.
func (s *Store) awaitOrReclaim(ctx context.Context, p lease.Process, folder layout.Workspace) error {
	waiting, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	if err := p.Wait(waiting); err == nil || ctx.Err() != nil {
		return err
	}
	return control.Reclaim(ctx, folder)
}

// Exec runs a process in a running workspace.
func (s *Store) Exec(ctx context.Context, name string, spec driver.ExecSpec, streams driver.Streams) (int, error) {
	const op = "exec in workspace"
	client, err := s.runningIn(op, name, spec.IfRun)
	if err != nil {
		return 0, err
	}
	code, timedOut, err := client.Exec(ctx, spec, streams)
	switch {
	case err != nil:
		return code, s.controlError(ctx, op, name, name, err)
	case timedOut:
		return code, &driver.Error{Class: driver.ErrTimeout, Op: op, Object: name, Err: fmt.Errorf("the command ran longer than %s", spec.Timeout)}
	}
	return code, nil
}

// Running is the way to the supervisor of a workspace that runs, for what only a running guest can do. ErrRefused
// when it does not run.
func (s *Store) Running(op, name string) (control.Client, error) {
	if _, err := s.need(op, name); err != nil {
		return control.Client{}, err
	}
	return s.client(op, name)
}

// runningIn is Running in one run alone, "" any. A supervisor that was started since says so itself.
func (s *Store) runningIn(op, name, run string) (control.Client, error) {
	if run != "" {
		ws, err := s.Get(context.Background(), name)
		if err == nil {
			err = ws.InRun(run)
		}
		if err != nil {
			return control.Client{}, err
		}
	}
	client, err := s.Running(op, name)
	client.IfRun = run
	return client, err
}

// client is Running of a workspace whose record was read.
func (s *Store) client(op, name string) (control.Client, error) {
	folder := s.State.Workspace(name)
	run, err := control.ReadRun(folder)
	if err != nil {
		return control.Client{}, fmt.Errorf("%s %s: %w", op, name, err)
	}
	if run == nil || !run.Phase.Alive() {
		return control.Client{}, &driver.Error{
			Class: driver.ErrRefused, Op: op, Object: name, Err: errors.New("it does not run"), Next: "microagent start " + name,
		}
	}
	return control.Client{Folder: folder}, nil
}

// controlError is the error of an operation on an object, of workspace name or in it, that its supervisor or guest
// answered with err.
func (s *Store) controlError(ctx context.Context, op, object, name string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, control.ErrGone) {
		var run driver.Run
		if last, err := control.ReadRun(s.State.Workspace(name)); err == nil && last != nil {
			run = *last
		}
		err = control.EndedDuringCall(name, run)
	}
	if e, ok := err.(*driver.Error); ok && e.Object == name { // the same thing, said from its side
		return &driver.Error{Class: e.Class, Op: op, Object: object, Err: e.Err, Next: e.Next}
	}
	return &driver.Error{Op: op, Object: object, Err: err, Next: driver.Next(err)}
}

// FreezeVolume calls do while the guest of a running workspace writes nothing to a volume that it has attached; see
// control.Client.Freeze. ErrBusy where do takes too long for that, ErrUnsupported where the guest knows no freeze.
func (s *Store) FreezeVolume(ctx context.Context, name, volume string, do func(ctx context.Context) error) error {
	const op = "freeze volume in workspace"
	client, err := s.Running(op, name)
	if err != nil {
		return err
	}
	err = client.Freeze(ctx, volume, do)
	if errors.Is(err, control.ErrFreezeOver) {
		return &driver.Error{Class: driver.ErrBusy, Op: "hold volume still", Object: volume, Next: "microagent halt " + name,
			Err: fmt.Errorf("workspace %s writes to it, and can be held still for %s: a copy takes longer", name, control.FreezeTime)}
	}
	if err != nil {
		return s.controlError(ctx, op, name, name, err)
	}
	return nil
}

// TrimVolume has the guest of a running workspace give back what no file of a volume has that it has attached.
func (s *Store) TrimVolume(ctx context.Context, name, volume string) error {
	const op = "trim volume in workspace"
	client, err := s.Running(op, name)
	if err == nil {
		err = client.Trim(ctx, volume)
	}
	if err != nil {
		return s.controlError(ctx, op, name, name, err)
	}
	return nil
}

// GrowVolume makes a volume larger that a running workspace has attached, device and file system.
func (s *Store) GrowVolume(ctx context.Context, name, volume string, size int64) error {
	const op = "grow volume in workspace"
	client, err := s.Running(op, name)
	if err != nil {
		return err
	}
	if _, err := client.Grow(ctx, volume, size); err != nil {
		return s.controlError(ctx, op, name, name, err)
	}
	return nil
}
