package initd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mdlayher/vsock"
	"golang.org/x/sys/unix"

	"microagent/runtime/guest/agent"
	"microagent/runtime/guest/chardev"
	"microagent/runtime/guest/proto"
	"microagent/runtime/guest/proto/serialmux"
)

// serialPort is the name of the virtio-serial port under the adapter.
const serialPort = "agent"

// probeTime bounds how long the devices of either channel may take to appear.
const probeTime = 10 * time.Second

// Listen takes the agent's ports on whichever channel this machine has: a serial port means the adapter, a vsock
// device means cloud-hypervisor.
func (g *Guest) Listen(ctx context.Context) (control, streams net.Listener, err error) {
	deadline := time.Now().Add(probeTime)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		if device, ok := findSerial(); ok {
			return listenSerial(ctx, g.Log, device)
		}
		if hasVsock() {
			return listenVsock()
		}
		if time.Now().After(deadline) {
			return nil, nil, errors.New("no channel to the host: neither a vsock device nor a serial port named " + serialPort)
		}
		time.Sleep(pause)
	}
}

// hasVsock says whether a vsock device gave this machine an address of its own.
func hasVsock() bool {
	cid, err := vsock.ContextID()
	return err == nil && cid > vsock.Host && cid != unix.VMADDR_CID_ANY
}

func listenVsock() (control, streams net.Listener, err error) {
	if control, err = vsock.Listen(proto.ControlPort, nil); err != nil {
		return nil, nil, fmt.Errorf("listen on vsock: %w", err)
	}
	if streams, err = vsock.Listen(proto.StreamPort, nil); err != nil {
		_ = control.Close()
		return nil, nil, fmt.Errorf("listen on vsock: %w", err)
	}
	return hostOnly{control}, hostOnly{streams}, nil
}

// hostOnly turns away what doesn't come from the host: the guest's own processes could dial as well.
type hostOnly struct{ net.Listener }

func (h hostOnly) Accept() (net.Conn, error) {
	for {
		c, err := h.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if from, ok := c.RemoteAddr().(*vsock.Addr); ok && from.ContextID == vsock.Host {
			return c, nil
		}
		_ = c.Close()
	}
}

// findSerial looks for the port by its name: there is no udev that would have made a link.
func findSerial() (device string, ok bool) {
	names, _ := filepath.Glob("/sys/class/virtio-ports/*/name")
	for _, n := range names {
		if data, err := os.ReadFile(n); err == nil && strings.TrimSpace(string(data)) == serialPort {
			return "/dev/" + filepath.Base(filepath.Dir(n)), true
		}
	}
	return "", false
}

func listenSerial(ctx context.Context, log *agent.Log, path string) (control, streams net.Listener, err error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open serial port %s: %w", path, err)
	}
	log.Printf("waiting for the host on %s", path)
	file, err := chardev.New(os.NewFile(uintptr(fd), path))
	if err != nil {
		return nil, nil, err
	}
	session, err := serialmux.Guest(ctx, &port{file, chardev.Pages{File: file}})
	if err != nil {
		return nil, nil, err
	}
	if control, err = session.Listen(proto.ControlPort); err != nil {
		return nil, nil, err
	}
	if streams, err = session.Listen(proto.StreamPort); err != nil {
		return nil, nil, err
	}
	return control, streams, nil
}

// port reads a virtio-serial port: while the host's end is closed a read gives nothing at once.
type port struct {
	*chardev.File
	pages chardev.Pages
}

const hostAway = 20 * time.Millisecond

func (p *port) Read(b []byte) (int, error) {
	for {
		n, err := p.pages.Read(b)
		if n > 0 || err == nil || errors.Is(err, os.ErrClosed) {
			return n, err
		}
		time.Sleep(hostAway)
	}
}
