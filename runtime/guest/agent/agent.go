// Package agent is what answers the host inside a guest: it runs processes, hands files out and takes them in, and
// brings the guest down. It promises the true exit code, output that is whole or visibly cut off, and that what it
// acknowledged is on the disks. It opens no connection but those to the guest's own loopback that the host asks for, reads
// no configuration from the guest's disks but passwd and group, and does nothing before it was configured.
//
// It runs in process 1 (package initd imports it), inside the workspace's root file system.
package agent

import (
	"context"
	"errors"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/ttrpc"

	"microagent/runtime/guest/proto"
	"microagent/runtime/guest/proto/wire"
)

// System is the part of the guest that only its init can change.
type System interface {
	// Setup mounts the disks and enters the root file system. A *proto.GuestError says which disk it was.
	Setup(ctx context.Context, req *wire.ConfigureRequest, own Owner) error
	// Grow, only after Setup, makes a mounted file system as large as its device, once that has device bytes, and
	// says how large, in bytes.
	Grow(serial string, device int64) (int64, error)
	// Freezer, only after Setup, opens a mounted file system that is written to; Trim tells its disk what it does not use,
	// and says how much the kernel says that was, in bytes.
	Freezer(serial string) (Freezer, error)
	Trim(serial string) (int64, error)
	// MountDisk, only after Setup, mounts a disk that was plugged since; UnmountDisk ends a mount that Setup or MountDisk made, with
	// all of it on the disk, or names the processes that use it. What is done already is a success.
	MountDisk(d *wire.Mount, own Owner) error
	UnmountDisk(serial string) error
	// Online has the kernel use as many CPUs, and memory of a VM with so many bytes of it. It returns when the kernel does.
	Online(ctx context.Context, cpus int, memory int64) error
	// AddEntropy gives the kernel random bytes; SetClock sets its wall clock, in nanoseconds since 1970.
	AddEntropy(seed []byte) error
	SetClock(wall int64) error
	// KillAll kills every process but this one.
	KillAll()
	// Link gives and takes the packets of the interface that Setup made; nil in a guest without a network.
	Link() *os.File
	// Unmount brings every file system to a clean end and lists those where it could not.
	Unmount() []string
	// PowerOff does not return.
	PowerOff()
}

// Owner looks up "user:group" in the root file system; "" is the user of the workspace's process.
type Owner func(spec string) (uid, gid int, err error)

// Agent answers one guest's host.
type Agent struct {
	system   System
	log      *Log
	children *children
	streams  *waiting
	stirred  *bell // what may have begun or ended a server
	dials    atomic.Int32
	started  time.Time
	server   *ttrpc.Server // made by Prepare

	remounting sync.Mutex // held before mu
	mu         sync.Mutex
	boot       string // its id, once Hello was called
	configured *wire.ConfigureRequest
	up         instant // just before that
	procs      map[string]*process
	ended      []string // ids of processes that ended, oldest first
	main       *process
	closing    bool

	link link

	frozen freezes

	hostGone chan struct{} // closed when the host closed its control connection after Shutdown
	gone     sync.Once
}

// New makes an agent. It takes over the process's children: nothing else in the process may wait for any.
func New(m System, log *Log) *Agent {
	a := &Agent{
		system: m, log: log, streams: newWaiting(), stirred: &bell{}, started: time.Now(),
		procs: map[string]*process{}, hostGone: make(chan struct{}),
	}
	a.children = newChildren(a.stirred)
	return a
}

// Serve answers on the two ports' listeners until ctx ends or a listener breaks, and reaps children meanwhile.
// It closes both listeners.
func (a *Agent) Serve(ctx context.Context, control, streams net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := a.Prepare(); err != nil {
		return err
	}
	server := a.server
	var work sync.WaitGroup
	work.Go(func() { a.children.reap(ctx) })
	work.Go(func() { a.acceptStreams(ctx, streams) })
	stop := context.AfterFunc(ctx, func() { _ = server.Close(); _ = streams.Close() })
	err := server.Serve(ctx, &tracked{control, a})
	cancel()
	stop()
	_ = streams.Close()
	_ = server.Close()
	work.Wait()
	if errors.Is(err, ttrpc.ErrServerClosed) {
		return nil
	}
	return err
}

// guard turns a panic in a call into its answer: process 1 must not die of it.
func (a *Agent) guard(ctx context.Context, decode ttrpc.Unmarshaler, _ *ttrpc.UnaryServerInfo, call ttrpc.Method) (resp any, err error) {
	defer func() {
		if r := recover(); r != nil {
			a.log.Printf("panic: %v\n%s", r, debug.Stack())
			err = proto.Errorf(proto.CodeFailed, "the agent broke: %v", r)
		}
	}()
	return call(ctx, decode)
}

// tracked tells the agent when the host closes a control connection.
type tracked struct {
	net.Listener
	agent *Agent
}

func (t *tracked) Accept() (net.Conn, error) {
	c, err := t.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &trackedConn{c, t.agent}, nil
}

type trackedConn struct {
	net.Conn
	agent *Agent
}

func (c *trackedConn) Close() error {
	c.agent.mu.Lock()
	closing := c.agent.closing
	c.agent.mu.Unlock()
	if closing {
		c.agent.gone.Do(func() { close(c.agent.hostGone) })
	}
	return c.Conn.Close()
}
