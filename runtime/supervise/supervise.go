package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/semaphore"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/lease"
	"microagent/runtime/machine"
	"microagent/runtime/ports"
	"microagent/runtime/supervise/attach"
	"microagent/runtime/supervise/control"
	"microagent/runtime/supervise/outlog"
	"microagent/runtime/template"
	"microagent/schema/spec"
)

// Options are what Run needs of the process it runs in.
type Options struct {
	// Ready gets one line, control.EncodeReady, when the guest is ready or can't be. Nil is allowed.
	Ready io.Writer
	Log   *slog.Logger
}

// supervisor is one run, and those that begin in its place.
type supervisor struct {
	spec   Spec
	state  layout.State
	folder layout.Workspace
	self   lease.Process
	log    *slog.Logger
	output *outlog.Log
	room   *attach.Reserve
	ports  *ports.Ports
	jobs   jobs
	stop   chan struct{}   // closed by the first request to stop
	guest  context.Context // of all that is done for the guest; a stop that is overdue ends it
	cut    context.CancelFunc
	ended  chan struct{} // closed when the last run has ended and the VMM is gone; the leases go next

	network *network // nil for none

	template   *template.Template  // that the guest is a copy of; nil for one that booted
	uncopied   string              // why a guest of this run is not to be a copy; "" for none
	remounting *semaphore.Weighted // of one, for what the VM has and for what follows
	serials    int                 // how many disks it has had

	publishing sync.Mutex  // what follows
	declared   []spec.Port // those of ports that the workspace's spec has, as they are bound

	telling sync.Mutex // faults, in their order

	denialsTold int                // in the project's history
	saving      sync.Mutex         // run.json
	mu          sync.Mutex         // what follows
	disks       attach.Disks       // changed as a whole, with remounting held as well
	environment *map[string]string // of the guests to come, when it is not the spec's any more
	size        *size              // likewise
	seen        *spec.VM           // what the VMM said last of the VM of the guest that is there
	run         driver.Run
	moved       turn        // rung at each change of run
	last        *driver.Run // that ended, of the guest that is going away; run may be its successor
	stand       standing
	probes      probes
	pause       backOff
	untold      []driver.DiskFault // that are in the history yet to be
	vm          *machine.VM
	life        *life // of a configured guest
	stopReq     stopRequest
	overdue     *time.Timer // runs from the first request to stop
	forced      bool
}

func now() time.Time { return time.Now().UTC() }

// Run runs the workspace until its task ends, its guest does, or it is stopped. Ending ctx is a request to stop
// with the workspace's grace. The error is that of a start that failed; what happened later is in run.json.
func Run(ctx context.Context, spec Spec, o Options) error {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	self, err := lease.Self()
	if err != nil {
		return fmt.Errorf("start supervisor: %w", err)
	}
	s := &supervisor{
		spec: spec, state: layout.State{Dir: spec.State}, self: self, log: o.Log,
		stop: make(chan struct{}), ended: make(chan struct{}), remounting: semaphore.NewWeighted(1),
	}
	s.guest, s.cut = context.WithCancel(context.WithoutCancel(ctx))
	defer s.cut()
	s.folder = s.state.Workspace(spec.Workspace.Name)
	var once sync.Once
	ready := func(err error) {
		once.Do(func() {
			if err == nil && !s.snapshot().Phase.Alive() { // it ended without one, and nobody may take that for a start
				err = control.EndedDuringCall(spec.Workspace.Name, s.snapshot())
			}
			if o.Ready == nil {
				return
			}
			_, _ = o.Ready.Write(control.EncodeReady(s.snapshot(), err))
		})
	}
	err = s.supervise(ctx, func() { ready(nil) })
	ready(err)
	return err
}

// supervise is the whole life. Work on disks and VMM must come to its end also when ctx is over, which is only a
// request to stop.
func (s *supervisor) supervise(ctx context.Context, ready func()) error {
	if s.spec.Version != Version {
		return &driver.Error{
			Class: driver.ErrUnsupported, Op: "start workspace", Object: s.spec.Workspace.Name,
			Err: fmt.Errorf("its spec has version %d, this microagent knows %d", s.spec.Version, Version),
		}
	}
	var err error
	if s.disks, err = attach.Acquire(s.state, s.self, s.spec.Workspace); err != nil {
		return err
	}
	s.serials = len(s.disks)
	// From here on this process is the only one that writes run.json: it has the lease of the root file system.
	defer func() { s.disks.Release() }()
	if err := s.bindPorts(); err != nil {
		return err
	}
	defer s.ports.Close()
	if s.room, err = attach.NewReserve(s.folder.Dir); err != nil {
		return &driver.Error{
			Class: driver.ErrNoSpace, Op: "start workspace", Object: s.spec.Workspace.Name, Err: err,
			Next: driver.NextNoSpace,
		}
	}
	defer s.room.Free()
	if s.output, err = outlog.Create(s.folder.Dir); err != nil {
		return fmt.Errorf("start workspace %s: %w", s.spec.Workspace.Name, err)
	}
	defer s.output.Close()
	s.noteLost()
	if err := control.SweepJobs(s.folder); err != nil {
		s.log.Error("end jobs of earlier runs", "error", err)
	}
	s.run = driver.Run{
		ID: s.spec.RunID, Key: s.spec.RunKey, Phase: driver.PhaseStarting, Started: now(),
		PID: s.self.PID, BootID: s.self.BootID, Start: s.self.Start, Tool: s.spec.Tool,
		VMM: s.spec.VMM.Name, Hardware: s.spec.VMM.Hardware, SpecDigest: s.spec.SpecDigest,
	}
	if err := s.saveRun(); err != nil {
		return err
	}
	if err := s.startNetwork(); err != nil { // before anybody can ask for it
		return s.fail(err)
	}
	defer s.stopNetwork()
	server, err := control.Listen(s.folder, s.spec.Workspace.Name, s.spec.Tool, s.log, calls{s})
	if err != nil {
		return s.fail(err)
	}
	stopFollowing := context.AfterFunc(ctx, func() { s.requestStop(stopRequest{}) })
	defer stopFollowing()
	stopWatching := s.watchOwner(ctx)
	defer stopWatching()
	err = s.liveOn(ready)
	s.stopTheClock()
	s.output.End()
	if !s.jobs.settle(settleJobs) {
		s.log.Warn("left the end of a job behind")
	}
	close(s.ended)
	s.dismiss(server)
	if err == nil {
		s.log.Info("ended", "phase", s.snapshot().Phase)
	}
	return err
}

func (s *supervisor) snapshot() driver.Run {
	s.mu.Lock()
	defer s.mu.Unlock()
	run := s.run
	run.Collected = append([]driver.Fetched(nil), s.run.Collected...)
	run.Diagnostics = append([]string(nil), s.run.Diagnostics...)
	run.DiskFaults = append([]driver.DiskFault(nil), s.run.DiskFaults...)
	run.Live = s.canChange()
	if s.ports != nil && run.Phase.Alive() {
		run.Ports = s.ports.State()
	}
	if s.network != nil {
		run.Network = s.network.State()
	}
	return run
}

// change changes the run and makes the change durable.
func (s *supervisor) change(f func(r *driver.Run)) error {
	s.mu.Lock()
	f(&s.run)
	s.moved.ring()
	s.mu.Unlock()
	return s.saveRun()
}

// saveRun writes the run as it is now.
func (s *supervisor) saveRun() error { return s.inReserve(s.writeRun) }

// inReserve writes what must not be missing: on a disk that is full the reserve is given back for it.
func (s *supervisor) inReserve(write func() error) error {
	err := write()
	if errors.Is(err, syscall.ENOSPC) && s.room.Free() {
		err = write()
	}
	return err
}

func (s *supervisor) writeRun() error {
	s.saving.Lock()
	defer s.saving.Unlock()
	run := s.snapshot()
	for i := range run.Ports {
		run.Ports[i].Listening = false // who wants to know asks us
	}
	if run.Network != nil {
		run.Network.Flows = 0 // as well
	}
	if err := control.WriteRun(s.folder, run); err != nil {
		return fmt.Errorf("write run of workspace %s: %w", s.spec.Workspace.Name, err)
	}
	return nil
}

// fail ends the run as failed and gives err.
func (s *supervisor) fail(err error) error {
	s.log.Error("failed", "error", err)
	saveErr := s.conclude(func(r *driver.Run) {
		r.Phase, r.Error = driver.PhaseFailed, err.Error()
		if crash, ok := errors.AsType[*driver.CrashError](err); ok {
			r.Console, r.Error = crash.Console, crash.Reason
		}
	})
	if saveErr != nil {
		s.log.Error("write run", "error", saveErr)
	}
	return err
}

// openOutputs opens the outputs of a folder, which is the workspace's or a job's.
func openOutputs(folder layout.Workspace) (*os.Root, error) {
	if err := os.MkdirAll(folder.Outputs(), 0o700); err != nil {
		return nil, err
	}
	return os.OpenRoot(folder.Outputs())
}
