package qemu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"microagent/runtime/guest/proto/serialmux"
)

// firstLocalPort is where Cloud Hypervisor begins to count the host's ends of connections.
const firstLocalPort = 1 << 30

// maxVsockConns is how many connections there may be; those above are accepted and dropped.
const maxVsockConns = 1023

// maxConnectLine bounds the line "CONNECT <port>\n".
const maxConnectLine = 32

// vsock is the hybrid vsock socket of one VM: "CONNECT <port>\n" is answered by "OK <local port>\n" when the
// guest has accepted, by the socket's end when nothing listens there, and by nothing before the guest is up.
type vsock struct {
	listener *net.UnixListener
	link     *link
	ctx      context.Context
	cancel   context.CancelFunc
	work     sync.WaitGroup
	local    atomic.Uint32
	count    atomic.Int32
}

// listenVsock binds path. A path that exists is in use, whoever left it.
func listenVsock(path string, link *link) (*vsock, error) {
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, wrap(err, textDeviceManager, "Cannot create virtio-vsock backend", "Error binding to the host-side Unix socket")
	}
	v := &vsock{listener: listener, link: link}
	v.local.Store(firstLocalPort - 1)
	v.ctx, v.cancel = context.WithCancel(context.Background())
	v.work.Go(v.accept)
	return v, nil
}

// close unlinks the socket, ends every connection and waits for them.
func (v *vsock) close() {
	v.cancel()
	_ = v.listener.Close() // the only error is that it was closed before
	v.work.Wait()
}

func (v *vsock) accept() {
	for {
		conn, err := v.listener.AcceptUnix()
		if err != nil {
			if v.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		if v.count.Add(1) > maxVsockConns {
			v.count.Add(-1)
			_ = conn.Close() // nothing was said on it
			continue
		}
		v.work.Go(func() {
			defer v.count.Add(-1)
			stop := context.AfterFunc(v.ctx, func() { _ = conn.Close() })
			defer stop()
			defer conn.Close()
			v.serve(conn)
		})
	}
}

func (v *vsock) serve(conn *net.UnixConn) {
	port, err := readConnect(conn)
	if err != nil {
		return
	}
	local := v.local.Add(1)
	session, err := v.link.wait(v.ctx)
	if err != nil || hungUp(conn) {
		return
	}
	stream, err := session.Dial(v.ctx, port)
	if err != nil {
		return
	}
	defer stream.Close()
	defer context.AfterFunc(v.ctx, func() { _ = stream.Close() })() // a guest that is paused does not end it
	if _, err := fmt.Fprintf(conn, "OK %d\n", local); err != nil {
		return
	}
	splice(conn, stream)
}

// splice carries bytes both ways until both have ended. The end of one direction is passed on as that.
func splice(conn *net.UnixConn, stream *serialmux.Conn) {
	upward := make(chan struct{})
	go func() {
		defer close(upward)
		if err := relay(stream, conn); err != nil {
			_ = stream.Close() // so that the other direction ends too
			return
		}
		_ = stream.CloseWrite() // fails only where the session is gone, which the other direction notices
	}()
	if err := relay(conn, stream); err != nil {
		_ = conn.Close() // so that the other direction ends too
	} else {
		_ = conn.CloseWrite() // fails only where the client is gone, which the other direction notices
	}
	<-upward
}

// What a relay has in hand, in bytes: as little as most connections need, as much as one write of a stream holds.
const (
	leastRelay = 4 << 10
	mostRelay  = 64 << 10
)

// relay copies all, with a buffer that grows where much waits. nil is for an end.
func relay(to io.Writer, from io.Reader) error {
	buf := make([]byte, leastRelay)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if n == len(buf) && n < mostRelay {
			buf = make([]byte, min(4*n, mostRelay))
		}
	}
}

var errNoConnect = errors.New("not a CONNECT line")

// readConnect reads the line that asks for a port, and not a byte more.
func readConnect(r io.Reader) (uint32, error) {
	line := make([]byte, 0, maxConnectLine)
	for b := make([]byte, 1); ; {
		if _, err := io.ReadFull(r, b); err != nil {
			return 0, err
		}
		line = append(line, b[0])
		if b[0] == '\n' {
			break
		}
		if len(line) == maxConnectLine {
			return 0, errNoConnect
		}
	}
	words := bytes.Fields(line)
	if len(words) != 2 || !bytes.EqualFold(words[0], []byte("connect")) {
		return 0, errNoConnect
	}
	port, err := strconv.ParseUint(string(words[1]), 10, 32)
	if err != nil {
		return 0, errNoConnect
	}
	return uint32(port), nil
}

// hungUp says whether the client has gone while it waited: the guest should not see a connection of its.
func hungUp(conn *net.UnixConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return true
	}
	gone := true
	err = raw.Control(func(fd uintptr) {
		poll := []unix.PollFd{{Fd: int32(fd)}}
		n, err := unix.Poll(poll, 0)
		gone = err == nil && n > 0 && poll[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0
	})
	return gone || err != nil
}
