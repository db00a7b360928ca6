//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"microagent/runtime/guest/agent"
	"microagent/runtime/guest/hotplug"
	"microagent/runtime/guest/proto/wire"
)

// bare is a machine with nothing to set up.
type bare struct{}

func (bare) Setup(context.Context, *wire.ConfigureRequest, agent.Owner) error { return nil }
func (bare) Online(ctx context.Context, cpus int, memory int64) error {
	return hotplug.Kernel.Online(ctx, cpus, memory)
}
func (bare) Grow(string, int64) (int64, error)        { return 0, fmt.Errorf("no disk is known") }
func (bare) Freezer(string) (agent.Freezer, error)    { return nil, fmt.Errorf("no disk is known") }
func (bare) Trim(string) (int64, error)               { return 0, fmt.Errorf("no disk is known") }
func (bare) AddEntropy([]byte) error                  { return nil }
func (bare) SetClock(int64) error                     { return nil }
func (bare) MountDisk(*wire.Mount, agent.Owner) error { return nil }
func (bare) UnmountDisk(string) error                 { return nil }
func (bare) KillAll()                                 {}
func (bare) Unmount() []string                        { return nil }
func (bare) PowerOff()                                {}

// Link is an interface that sends back what it is given.
func (bare) Link() *os.File { return echoes() }

var echoes = sync.OnceValue(func() *os.File {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	go func() {
		b := make([]byte, 128<<10) // the largest packet, and what is before it
		for {
			n, err := unix.Read(fds[1], b)
			if err == unix.EINTR {
				continue
			}
			if err != nil || n == 0 {
				return
			}
			_, _ = unix.Write(fds[1], b[:n])
		}
	}()
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil
	}
	return os.NewFile(uintptr(fds[0]), "echoes")
})

func serveAgent(control, streams net.Listener) error {
	return agent.New(bare{}, agent.NewLog(io.Discard)).Serve(context.Background(), control, streams)
}

func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_LOOPBACK | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}

// serveTCP starts a server at an address, which echoes, resets what it has read a byte of, or never reads.
func serveTCP(address, how string) error {
	serve, ok := map[string]func(*net.TCPConn){
		"echo": func(c *net.TCPConn) {
			_, _ = io.Copy(c, c)
			_ = c.Close()
		},
		"reset": func(c *net.TCPConn) {
			_, _ = c.Read(make([]byte, 1))
			_ = c.SetLinger(0)
			_ = c.Close()
		},
		"deaf": func(c *net.TCPConn) {
			select {}
		},
	}[how]
	if !ok {
		return fmt.Errorf("no server %q", how)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c.(*net.TCPConn))
		}
	}()
	return nil
}
