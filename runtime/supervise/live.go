package supervise

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"microagent/ch"
	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
	"microagent/runtime/machine"
	"microagent/runtime/supervise/readiness"
	"microagent/schema/printable"
)

// Deadlines of a boot: from the VMM's start to the agent's hello. Emulation is slow, and slower on a busy host.
const (
	bootHardware = 60 * time.Second
	bootEmulated = 3 * time.Minute
)

// earlyReboots is how often a guest may reboot before its agent answers.
const earlyReboots = 2

// A guest that reboots as soon as it is up would do so for ever: how soon that is, and how often it may.
const (
	quickLife    = 30 * time.Second
	quickReboots = 2
)

// settle is how long the end of a connection may come before the event or exit that explains it.
const settle = 5 * time.Second

// mainID names the workspace's process in the guest.
const mainID = "main"

// errStopped says that a stop was asked for before the guest was ready.
var errStopped = errors.New("stopped before the guest was ready")

// watch is what the VMM does, for one VM.
type watch struct {
	vm       *machine.VM
	fault    func(ch.Event) // takes errors of disks
	rebooted chan struct{}  // has room for one
	changed  chan struct{}  // likewise: the VM may have something else than before
	done     chan struct{}  // closed when the VMM is gone and its events are read
	powerOff bool           // the guest powered off; meaningful after done
	copied   bool           // the guest is a copy of a template, and did not answer yet
}

func watchVM(vm *machine.VM, fault func(ch.Event)) *watch {
	w := &watch{vm: vm, fault: fault, rebooted: make(chan struct{}, 1), changed: make(chan struct{}, 1), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		for e := range vm.Events() {
			w.take(e)
		}
		<-vm.Exited()
	}()
	return w
}

func (w *watch) take(e ch.Event) {
	switch {
	case e.Is("vm", "rebooting"):
		select {
		case w.rebooted <- struct{}{}:
		default:
		}
	case e.Is("virtio-device", "io_error"):
		w.fault(e)
	case changesVM(e):
		select {
		case w.changed <- struct{}{}:
		default:
		}
	case e.Is("vm", "shutdown"):
		w.powerOff = true
	}
}

// live boots the guest, and again when it reboots, and returns when the run has ended and the VMM is gone.
func (s *supervisor) live(ctx context.Context, ready func()) error {
	for {
		if boots, err := s.liveOnce(ctx, ready); !boots {
			return err
		}
	}
}

// liveOnce is live, but for a guest that is a copy of a template and does not answer: then another is to boot.
func (s *supervisor) liveOnce(ctx context.Context, ready func()) (boots bool, err error) {
	began := time.Now()
	s.log.Info("starts the VMM")
	booting, cancel := s.untilStop(ctx)
	vm, err := s.begin(booting)
	cancel()
	if err != nil {
		if _, stop := s.stopRequested(); stop {
			return false, s.recordEarlyStop()
		}
		return false, s.fail(err)
	}
	s.mu.Lock()
	s.vm = vm
	sandbox := vm.Sandbox()
	s.run.Sandbox = &sandbox
	if s.wasCut() {
		vm.Kill()
	}
	s.mu.Unlock()
	w := watchVM(vm, s.takeIOError)
	w.copied = s.template != nil
	defer s.watchSpace(ctx)()
	defer s.endTemplate()
	defer func() {
		vm.Kill()
		<-w.done
		vm.Wait()
	}()
	s.log.Info("booted", "vmm", s.spec.VMM.Name, "pid", vm.PID(), "took", time.Since(began))
	for quick := 0; ; {
		again, up, err := s.boot(ctx, w, ready)
		if err != nil {
			if errors.Is(err, errStopped) {
				return false, s.recordEarlyStop()
			}
			if crash, ok := errors.AsType[*driver.CrashError](err); ok && w.copied && crash.Phase == "boot" {
				s.bootInstead(err)
				return true, nil
			}
			return false, s.fail(err)
		}
		w.copied = false
		if !again {
			return false, nil
		}
		if quick++; time.Since(up) > quickLife {
			quick = 0
		}
		if quick > quickReboots {
			return false, s.fail(w.vm.Crash("running", fmt.Sprintf("the guest rebooted %d times in a row, each within %s of being up", quick, quickLife)))
		}
		s.log.Info("guest reboots")
	}
}

// untilStop gives a context that ends when a stop is asked for.
func (s *supervisor) untilStop(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	finished := make(chan struct{})
	go func() {
		select {
		case <-s.stop:
			cancel(errStopped)
		case <-finished:
		}
	}()
	return ctx, func() { close(finished); cancel(nil) }
}

// boot follows one boot of the guest: hello, Configure, the process. again says that the guest reboots, up when it
// was ready.
func (s *supervisor) boot(ctx context.Context, w *watch, ready func()) (again bool, up time.Time, err error) {
	session, err := s.connect(ctx, w)
	if err != nil {
		return false, up, err
	}
	defer session.Close()
	s.log.Info("guest answers", "uptime", session.Hello().Uptime)
	if err := s.agentHasPorts(session); err != nil {
		return false, up, err
	}
	if err := s.agentHasNetwork(session); err != nil {
		return false, up, err
	}
	wait, why := s.attached().MMPWait()
	if wait > 0 {
		if err := s.change(func(r *driver.Run) { r.Waits = why }); err != nil {
			return false, up, err
		}
	}
	setting, cancel := s.limitSetup(ctx, wait)
	err = session.Configure(setting, s.config())
	cancel()
	if err != nil {
		return false, up, s.explainBoot(w, "set the guest up", err)
	}
	s.log.Info("guest is set up")
	s.lookFirst(ctx, w.vm)
	life := &life{session: session, run: s.snapshot().ID, over: make(chan struct{})}
	s.mu.Lock()
	s.life = life
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.life = nil
		s.mu.Unlock()
		life.end(s.spec.Workspace.Name, again, err, s.endedRun())
	}()
	stopClock := s.watchClock(ctx, session)
	defer stopClock()
	stopPorts := s.servePorts(ctx, session)
	defer stopPorts()
	stopPackets := s.serveNetwork(ctx, session)
	defer stopPackets()
	stopLooking := s.followVM(ctx, w)
	defer stopLooking()
	line := readiness.NewLine(s.probedLine())
	var process *proto.Process
	if s.spec.Workspace.Process.Mode != driver.ModeIdle {
		starting, cancel := context.WithTimeout(ctx, startLimit)
		defer cancel()
		process, err = session.Start(starting, proto.ExecSpec{ID: mainID, Main: true, Timeout: s.spec.Workspace.Process.Timeout},
			proto.Streams{Stdout: line.Watch(s.output.Stdout()), Stderr: line.Watch(s.output.Stderr())})
		if err != nil {
			return false, up, s.explainBoot(w, "start the process", err)
		}
	}
	if err := s.change(func(r *driver.Run) {
		at := now()
		if r.Ready == nil {
			r.Ready = &at
		}
		r.Waits = ""
		r.Phase = driver.PhaseReady
		if process != nil {
			r.Phase = driver.PhaseRunning
		}
		s.stand.begin(s.spec.Workspace, time.Since(r.Started))
	}); err != nil {
		return false, up, err
	}
	lost := make(chan struct{})
	stopProbing := s.probe(ctx, session, line, lost)
	defer stopProbing()
	ready()
	s.log.Info("ready")
	up = time.Now()
	again, err = s.serve(ctx, w, session, process, lost)
	return again, up, err
}

// connect waits for the agent's hello.
func (s *supervisor) connect(ctx context.Context, w *watch) (*proto.Session, error) {
	limit := s.patience(w.copied)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ctx, cancelStop := s.untilStop(ctx)
	defer cancelStop()
	ctx, broken := context.WithCancelCause(ctx)
	defer broken(nil)
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		broken(s.awaitEarlyEnd(ctx, w))
	}()
	session, err := proto.Connect(ctx, w.vm.Dial)
	broken(nil)
	<-watching
	if err == nil {
		return session, nil
	}
	if _, stop := s.stopRequested(); stop {
		return nil, errStopped
	}
	if crash, ok := errors.AsType[*driver.CrashError](context.Cause(ctx)); ok {
		return nil, crash
	}
	if _, ok := errors.AsType[*proto.VersionError](err); ok {
		return nil, &driver.Error{Class: driver.ErrUnsupported, Op: "start workspace", Object: s.spec.Workspace.Name, Err: err, Next: "to build its initramfs anew: microagent kernel install"}
	}
	return nil, w.vm.Crash("boot", fmt.Sprintf("no agent after %s (%s)", limit, lastReason(err)))
}

// patience is how long a guest may take until its agent answers.
func (s *supervisor) patience(copied bool) time.Duration {
	switch hardware := s.spec.VMM.Hardware; {
	case copied && hardware:
		return copyHardware
	case copied:
		return copyEmulated
	case hardware:
		return bootHardware
	}
	return bootEmulated
}

// lastReason is why the last attempt to connect ended, without the deadline that ended all of them.
func lastReason(err error) string {
	if e, ok := errors.AsType[*driver.Error](err); ok {
		err = e.Err
	}
	lines := strings.Split(err.Error(), "\n")
	return lines[len(lines)-1]
}

// awaitEarlyEnd returns when the guest can't come up any more, and says why; nil when ctx ended.
func (s *supervisor) awaitEarlyEnd(ctx context.Context, w *watch) error {
	for reboots := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-w.done:
			return w.vm.Crash("boot", w.vm.Ended())
		case <-w.rebooted:
			reboots++
			if reboots > earlyReboots || s.spec.Workspace.Process.Mode == driver.ModeTask {
				return w.vm.Crash("boot", "the guest rebooted before its agent answered")
			}
		}
	}
}

// explainBoot says why a guest that answered did not become ready.
func (s *supervisor) explainBoot(w *watch, what string, err error) error {
	if _, stop := s.stopRequested(); stop {
		return errStopped
	}
	if errors.Is(err, driver.ErrUnavailable) {
		select {
		case <-w.done:
			return w.vm.Crash("boot", w.vm.Ended())
		case <-w.rebooted:
			return w.vm.Crash("boot", "the guest rebooted: "+what)
		case <-time.After(settle):
		}
	}
	e := &driver.Error{Op: "start workspace", Object: s.spec.Workspace.Name, Err: fmt.Errorf("%s: %s", what, s.attached().NameIn(printable.Line(err.Error())))}
	if errors.Is(err, driver.ErrGuest) {
		e.Next = "correct what it names; the guest's console: microagent logs --console " + s.spec.Workspace.Name
	}
	e.Class = driver.ClassOf(driver.ClassName(err))
	return e
}

// config is what the guest is to become.
func (s *supervisor) config() proto.Config {
	p := s.spec.Workspace.Process
	c := proto.Config{
		Guest: p.Guest, Argv: p.Argv, StopSignal: p.StopSignal,
		Wall: time.Now(), Seed: make([]byte, 64), Hostname: hostname(s.spec.Workspace.Name), Directories: p.Directories,
		Network: s.guestNetwork(),
	}
	_, _ = rand.Read(c.Seed)
	s.mu.Lock()
	if s.environment != nil {
		c.Guest.Env = *s.environment
	}
	s.mu.Unlock()
	for _, d := range s.attached() {
		switch {
		case d.Kind == "":
			c.Root = d.Mount
			continue
		case d.Leaving:
			continue
		}
		c.Mounts = append(c.Mounts, s.mountOf(d))
	}
	return c
}

// hostname is the workspace's own name: "counter.one" is "one" in its project.
func hostname(name string) string {
	for i := range len(name) {
		if name[i] == '.' {
			return name[i+1:]
		}
	}
	return name
}
