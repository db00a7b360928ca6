// Package machine runs one VM in one VMM process: it chooses the VMM, turns a spec into the VMM's configuration,
// starts the process, follows its events and its serial console, and ends it. It speaks Cloud Hypervisor's API
// and does not know whether cloud-hypervisor or the adapter answers, beyond how each is started.
//
// Promised: vm.boot is sent once; a VM whose boot failed is deleted and its process ended. The process gets no
// environment and no file beyond what the spec names, and carries the leases of its disks.
// It has no capability and can get none, also when root started it, and opens few files where the kernel has landlock. Whatever it or the guest writes
// is bounded on disk. Nothing here outlives the process that called Start, except a VMM whose caller was killed:
// the kernel is asked to kill it then, and its leases show it when that failed.
package machine

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"microagent/ch"
	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/machine/rotate"
	"microagent/runtime/template"
)

// Disk is a block device of the guest.
type Disk struct {
	Serial   string `json:"serial"` // how the guest finds it, and its id: "root", "m00"
	Path     string `json:"path"`   // absolute, or "./name" in the spec's folder
	ReadOnly bool   `json:"read_only,omitempty"`
}

// Boot is what the guest boots.
type Boot struct {
	Kernel    string `json:"kernel"` // absolute paths
	Initramfs string `json:"initramfs"`
	Cmdline   string `json:"cmdline"` // whole
	Release   string `json:"release,omitempty"`
}

// Spec is a VM to start.
type Spec struct {
	Name   string // of the workspace, for messages
	Folder string // absolute; logs lie there, and the VMM's sockets in a folder of its own, in which it works
	Choice Choice
	// Adapter is how this program is started as the adapter, up to its options. Unused for cloud-hypervisor.
	Adapter []string
	Boot    Boot
	CPUs    int
	Memory  int64
	// MaxCPUs and MaxMemory are what the VM may get while it runs, where its VMM can; what is not more than that counts for nothing.
	MaxCPUs   int
	MaxMemory int64

	Disks  []Disk
	Leases []*os.File // of Disks, in their order; inherited by the VMM, and by QEMU below the adapter

	// Copy is what the guest is a copy of; nil for one that boots.
	Copy *template.Template
	// Save is what a guest that boots is saved to as soon as it waits to be configured; nil for one that is not.
	Save *template.Draft
	// Patience is how long such a guest may take until it waits; the others' is who configures them to see to.
	Patience time.Duration
}

// The bounds of logs: each takes twice this at most.
const (
	consoleLimit = 4 << 20
	vmmLogLimit  = 1 << 20
)

// apiDeadline is how long a VMM may take until its API answers.
const apiDeadline = 20 * time.Second

// VM is a guest in its VMM. Stop or Kill must be called, and Wait, which releases what it holds.
type VM struct {
	spec    Spec
	dir     *os.File
	client  *ch.Client
	process *process
	console *Console
	log     *rotate.Writer
	events  chan ch.Event
	owned   sync.WaitGroup
	ping    ch.Ping
	early   early
	saved   error // why the guest was not saved that was to be

	cold     map[string]bool // serials of the disks that it was started with
	handing  *net.UnixConn   // files for the adapter
	removals removals
	grown    int // how often more memory came; see Look
}

// Start starts the VMM, and the guest in it. Ending ctx before it returned ends both.
func Start(ctx context.Context, spec Spec) (*VM, error) {
	vm := &VM{spec: spec, events: make(chan ch.Event, 64), early: newEarly(), cold: map[string]bool{}}
	for _, d := range spec.Disks {
		vm.cold[d.Serial] = true
	}
	if err := vm.start(ctx); err != nil {
		vm.Kill()
		vm.Wait()
		return nil, err
	}
	return vm, nil
}

func (vm *VM) start(ctx context.Context) (err error) {
	if vm.dir, err = os.Open(vm.spec.Folder); err != nil {
		return fmt.Errorf("start VMM: %w", err)
	}
	sockets := filepath.Join(vm.spec.Folder, layout.VMMDir)
	if err := os.RemoveAll(sockets); err != nil { // of a VMM that was killed
		return fmt.Errorf("start VMM: %w", err)
	}
	for _, dir := range []string{sockets, filepath.Join(vm.spec.Folder, layout.PluggedDir)} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return fmt.Errorf("start VMM: %w", err)
		}
	}
	if vm.log, err = rotate.Create(filepath.Join(vm.spec.Folder, layout.VMMLog), vmmLogLimit); err != nil {
		return fmt.Errorf("start VMM: %w", err)
	}
	if vm.console, err = newConsole(filepath.Join(vm.spec.Folder, layout.ConsoleLog)); err != nil {
		return fmt.Errorf("start VMM: %w", err)
	}
	if err := vm.spawn(); err != nil {
		return err
	}
	vm.client = ch.New(ch.UnixAt(vm.dir, layout.APISocket), ch.Timeouts{})
	waiting, cancel := context.WithTimeout(ctx, apiDeadline)
	defer cancel()
	if vm.ping, err = vm.client.WaitForAPI(waiting, vm.process.exited); err != nil {
		return vm.vmmError(ctx, "start VMM", err)
	}
	if err := vm.begin(ctx); err != nil {
		// A VM whose boot failed may have lost its disks: it is deleted, and nothing is booted again.
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = vm.client.Delete(cleanup)
		return err
	}
	// Only now it can say what holds it.
	if ping, err := vm.client.Ping(ctx); err == nil {
		vm.ping = ping
	}
	return nil
}

// begin makes the VM, in one of three ways, and lets it run.
func (vm *VM) begin(ctx context.Context) error {
	switch {
	case vm.spec.Copy != nil:
		return vm.copyTemplate(ctx)
	case vm.spec.Save != nil:
		return vm.bootAndSave(ctx)
	}
	return vm.boot(ctx, vm.spec.config())
}

func (vm *VM) boot(ctx context.Context, c ch.VmConfig) error {
	if err := vm.client.Create(ctx, c); err != nil {
		return vm.vmmError(ctx, "create VM", err)
	}
	vm.followConsole()
	if err := vm.client.Boot(ctx); err != nil {
		return vm.vmmError(ctx, "boot VM", err)
	}
	return nil
}

func (vm *VM) followConsole() {
	vm.owned.Go(func() { vm.console.follow(ch.UnixAt(vm.dir, layout.SerialSocket), vm.process.exited) })
}

// vmmError says why the VMM did not do what was asked, with the end of what it printed when it died.
func (vm *VM) vmmError(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s of workspace %s: %w", op, vm.spec.Name, context.Cause(ctx))
	}
	e := &driver.Error{
		Class: driver.ErrGuest, Op: op + " of workspace", Object: vm.spec.Name, Err: err,
		Next: "microagent logs --vmm-log " + vm.spec.Name,
	}
	switch {
	case ch.IsLocked(err):
		e.Class = driver.ErrBusy
		e.Next = "end the process that has the disk open"
	case ch.IsMissingFile(err):
		e.Class = driver.ErrNotFound
	case os.Geteuid() == 0 && strings.Contains(strings.ToLower(err.Error()), "permission denied"):
		e.Next = "give root the files that it names, or run microagent as their owner: without capabilities root may not open them"
	case strings.Contains(strings.ToLower(err.Error()), "cannot allocate memory"):
		e.Next = "give it less memory than the host has free"
	case strings.Contains(err.Error(), "memory.size"):
		e.Next = "give it another size of memory"
	}
	if vm.exitedWithin(200 * time.Millisecond) {
		e.Err = fmt.Errorf("%w; %s", err, vm.process.describe())
	}
	return e
}

func (vm *VM) exitedWithin(d time.Duration) bool {
	select {
	case <-vm.process.exited:
		return true
	case <-time.After(d):
		return false
	}
}

// Client is the VMM's API.
func (vm *VM) Client() *ch.Client { return vm.client }

// PID is the VMM's process.
func (vm *VM) PID() int { return vm.process.cmd.Process.Pid }

// Console is the guest's serial console.
func (vm *VM) Console() *Console { return vm.console }

// Events gives the VMM's events; it is closed when the VMM is gone. They must be read.
func (vm *VM) Events() <-chan ch.Event { return vm.events }

// Exited is closed when the VMM's process is gone.
func (vm *VM) Exited() <-chan struct{} { return vm.process.exited }

// Dial connects to a port of the guest. It is a proto.Dialer.
func (vm *VM) Dial(ctx context.Context, port uint32) (net.Conn, error) {
	d := ch.VsockDialer{Dial: ch.UnixAt(vm.dir, layout.VsockSocket), Attempt: 10 * time.Second}
	conn, err := d.DialOnce(ctx, port)
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// Crash is the error for a guest or VMM that ended when it should not have. phase is "boot", "running" or
// "shutdown"; a kernel panic on the console is told in the place of reason.
func (vm *VM) Crash(phase, reason string) *driver.CrashError {
	if panicked := vm.console.Panic(); panicked != "" {
		reason = "kernel panic: " + panicked
	}
	return &driver.CrashError{
		Workspace: vm.spec.Name, Phase: phase, Reason: reason,
		Console: vm.console.Tail(), Log: filepath.Join(vm.spec.Folder, layout.ConsoleLog),
	}
}

// Ended says in words how the VMM's process ended: "VMM exited with 1: ...".
func (vm *VM) Ended() string { return vm.process.describe() }

// Failed says that the VMM's process, which has exited, did not end by its own will.
func (vm *VM) Failed() bool { return vm.process.err != nil }

// Stop ends a guest that was not, or could not be, shut down from inside: vm.shutdown, vmm.shutdown, kill. The guest sees
// its power fail. It returns when the process is gone.
func (vm *VM) Stop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	// What the calls answer does not matter: the process's end does.
	if vm.client.Shutdown(ctx) == nil || ctx.Err() == nil {
		_ = vm.client.ShutdownVMM(ctx)
	}
	select {
	case <-vm.process.exited:
	case <-ctx.Done():
	}
	vm.Kill()
	<-vm.process.exited
}

// Kill ends the VMM's process at once, without a word.
func (vm *VM) Kill() {
	if vm.process != nil {
		vm.process.kill()
	}
}

// Wait returns when the VMM is gone and everything it wrote was taken. It removes the sockets.
func (vm *VM) Wait() {
	if vm.process != nil {
		<-vm.process.exited
	}
	vm.owned.Wait()
	if vm.client != nil {
		vm.client.Close()
	}
	if vm.console != nil {
		vm.console.close()
	}
	if vm.log != nil {
		vm.log.Close()
	}
	_ = os.RemoveAll(filepath.Join(vm.spec.Folder, layout.VMMDir))
	if vm.dir != nil {
		vm.dir.Close()
	}
	if vm.handing != nil {
		vm.handing.Close()
	}
}
