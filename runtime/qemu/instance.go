package qemu

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"microagent/ch/api"
	"microagent/runtime/template/memory"
)

// instance is one built VM: its disks are open, its vsock socket is bound. When the last steps of its boot failed
// it exists without a QEMU and keeps disks and socket until it is deleted, as the real program has it.
type instance struct {
	state   api.VmState
	disks   []*disk
	link    *link
	vsock   *vsock // nil without a vsock device
	process *process
	qmp     *qmp
	nextQID int
	// slots holds what is in each root port; nil for free.
	slots   [sparePorts]*disk
	waiting []*disk  // that a paused guest gets when it goes on
	memory  *os.File // the guest's, where it lies in a file that others may read; nil when it is QEMU's own

	poweredOff bool      // the guest asked for it
	lastReset  time.Time // of the guest, to count those of one reboot as one
}

// greetingTimeout bounds how long QEMU may take to build its machine; it needs less than 0.1 s.
const greetingTimeout = 20 * time.Second

// build opens what the configuration names. On failure nothing stays open.
func build(h *host, c api.VmConfig, broken, greeted func()) (*instance, error) {
	if initramfs := deref(c.Payload.Initramfs); initramfs != "" {
		if err := h.readable(initramfs, "Cannot open initramfs file"); err != nil {
			return nil, err
		}
	}
	m := &instance{state: api.VmStateCreated, link: newLink(broken, greeted)}
	for i, config := range c.Disks {
		d, err := openDisk(config, h.opened)
		if err != nil {
			return nil, errors.Join(err, m.release())
		}
		d.bdf, d.place = coldBDF(i), coldAddress(i, len(c.Disks))
		m.adopt(d)
	}
	if c.Vsock != nil {
		var err error
		if m.vsock, err = listenVsock(c.Vsock.Socket, m.link); err != nil {
			return nil, errors.Join(err, m.release())
		}
	}
	return m, nil
}

// adopt gives a disk its names in QEMU.
func (m *instance) adopt(d *disk) {
	d.qid = fmt.Sprintf("d%d", m.nextQID)
	d.set = m.nextQID
	m.nextQID++
	m.disks = append(m.disks, d)
}

// release ends QEMU, when there is one, and gives everything back. The locks on the disks end with it.
func (m *instance) release() error {
	if m.vsock != nil {
		m.vsock.close()
		m.vsock = nil
	}
	if m.process != nil {
		m.process.kill()
	}
	m.link.close()
	var err error
	if m.qmp != nil {
		err = m.qmp.close()
	}
	for _, d := range m.disks {
		err = errors.Join(err, d.close())
	}
	m.disks, m.waiting = nil, nil
	if m.memory != nil {
		err = errors.Join(err, m.memory.Close())
		m.memory = nil
	}
	return err
}

// host is what a start of QEMU depends on beside the configuration.
type host struct {
	spawner  *spawner
	binary   string
	accel    Accel
	watch    stopwatch
	opened   opened
	handed   handed
	program  program
	sandbox  bool
	filtered atomic.Bool // a QEMU has started below its sandbox
	firmware string

	measure   sync.Once
	frequency uint64 // what watch measured; meaningful after measure
}

// start locks the disks and runs QEMU until its monitor answers. from is what the guest is a copy of, nil for one that boots.
func (m *instance) start(h *host, c api.VmConfig, console *serial, from *source) error {
	for _, d := range m.disks {
		if err := d.lock(); err != nil {
			return wrap(err, "Error locking disk images: Another instance likely holds a lock")
		}
	}
	if err := h.readable(*c.Payload.Kernel, "Cannot open kernel file"); err != nil {
		return err
	}
	err := m.launch(h, c, console, from)
	h.filtered.Store(err == nil && h.sandbox)
	if err != nil && h.sandbox && m.process != nil && mentionsSandbox(m.process.stderr.lines()) {
		h.sandbox = false // this QEMU was built without it
		err = m.launch(h, c, console, from)
	}
	return err
}

func (h *host) readable(path, text string) error {
	file, err := h.opened.open(path, os.O_RDONLY)
	if err != nil {
		return wrap(err, text)
	}
	return file.Close()
}

// launch starts one QEMU and connects its monitor, agent channel and serial port.
func (m *instance) launch(h *host, c api.VmConfig, console *serial, from *source) error {
	var theirs []*os.File
	var ours []*net.UnixConn
	defer func() {
		for _, f := range theirs {
			_ = f.Close() // QEMU has its own
		}
	}()
	pair := func(name string) (*net.UnixConn, int, error) {
		conn, file, err := socketPair(name)
		if err != nil {
			return nil, 0, err
		}
		theirs = append(theirs, file)
		ours = append(ours, conn)
		return conn, 2 + len(theirs), nil
	}
	l := h.launch(c)
	l.disks = m.disks
	var err error
	for i, fd := range []*int{&l.fds.monitor, &l.fds.channel, &l.fds.serial} {
		var pairErr error
		_, *fd, pairErr = pair([]string{"monitor", "agent", "console"}[i])
		err = errors.Join(err, pairErr)
	}
	if err != nil {
		closeAll(ours)
		return wrap(err, "Cannot start QEMU")
	}
	files := append([]*os.File(nil), theirs...)
	for _, d := range m.disks {
		files = append(files, d.file)
		l.diskFDs = append(l.diskFDs, 2+len(files))
	}
	ram, use, err := m.layOut(c, from)
	if err != nil {
		closeAll(ours)
		return wrap(err, "Cannot start QEMU", "Cannot allocate the guest's memory")
	}
	if l.memory = use; ram != nil {
		files = append(files, ram)
		l.fds.memory = 2 + len(files)
	}
	// QEMU opens these by name. One that is open already has a name that any process can follow which has it.
	l.kernel, l.initramfs = *c.Payload.Kernel, deref(c.Payload.Initramfs)
	for _, name := range []*string{&l.kernel, &l.initramfs} {
		file, err := h.opened.openable(*name)
		if err != nil {
			closeAll(ours)
			return wrap(err, "Cannot start QEMU")
		}
		if file != nil {
			files = append(files, file)
			*name = fmt.Sprintf("/proc/self/fd/%d", 2+len(files))
		}
	}
	process, err := h.spawner.start(h.binary, l.arguments(), files)
	if err != nil {
		closeAll(ours)
		return wrap(err, "Cannot start QEMU")
	}
	m.process = process
	for _, f := range theirs {
		_ = f.Close() // so that QEMU's end is the only one
	}
	theirs = nil
	ctx, cancel := context.WithTimeoutCause(context.Background(), greetingTimeout, errors.New("QEMU's monitor did not answer"))
	defer cancel()
	if m.qmp, err = openQMP(ctx, ours[0]); err != nil {
		process.kill()
		closeAll(ours)
		m.qmp = nil
		if errors.Is(err, errQMPClosed) {
			return because("Cannot start QEMU", process.reason())
		}
		return wrap(err, "Cannot start QEMU", process.reason())
	}
	if from == nil {
		m.link.attach(ours[1])
	} else {
		m.link.resume(ours[1], from.facts.Hello)
	}
	if console != nil {
		console.attach(ours[2])
	} else {
		_ = ours[2].Close() // QEMU was told of no such port
	}
	m.state = api.VmStateRunning
	return nil
}

// launch is a start of QEMU for a configuration, with all but what each has of its own.
func (h *host) launch(c api.VmConfig) launch {
	l := launch{
		config: c, accel: h.accel, cpu: h.program.cpu[h.accel], machine: h.program.machine,
		firmware: h.firmware, sandbox: h.sandbox,
	}
	l.cmdline = kernelArguments(deref(c.Payload.Cmdline), h.accel, c.Cpus.BootVcpus, h.khz())
	return l
}

// khz is the frequency that the guest's kernel is told; 0 where it is told none.
func (h *host) khz() uint64 {
	if h.accel != TCG {
		return 0
	}
	h.measure.Do(func() { h.frequency = h.watch.khz() })
	return h.frequency
}

// layOut gives the file that the guest's memory is to lie in, nil for none, and how.
func (m *instance) layOut(c api.VmConfig, from *source) (*os.File, memoryUse, error) {
	switch {
	case from != nil && from.memory != nil:
		return from.memory, copiedMemory, nil
	case from != nil:
		return nil, comingMemory, nil
	case !deref(c.Memory.Shared):
		return nil, ownMemory, nil
	case m.memory == nil:
		var err error
		if m.memory, err = memory.New("guest", int64(c.Memory.Size)); err != nil {
			return nil, ownMemory, err
		}
	}
	return m.memory, sharedMemory, nil
}

func closeAll(conns []*net.UnixConn) {
	for _, c := range conns {
		_ = c.Close() // nothing was written to it
	}
}

// mentionsSandbox says whether QEMU refused to start because it was built without its sandbox.
func mentionsSandbox(lines []string) bool {
	for _, l := range lines {
		if strings.Contains(l, "seccomp support is disabled") || strings.Contains(l, "'sandbox'") || strings.Contains(l, "-sandbox") {
			return true
		}
	}
	return false
}
