package ch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// VsockConn is a stream to a guest's port. CloseWrite ends our direction only.
type VsockConn interface {
	net.Conn
	CloseWrite() error
}

// VsockDialer reaches ports of the guest through the hybrid vsock socket on the host.
//
// The handshake there is "CONNECT <port>\n", answered by "OK <local port>\n" once the guest has accepted. A
// port that nobody listens on is an end of file. Before the guest's driver is up nothing comes at all, and a
// connection made then may never be served: so an attempt has a time limit, and DialUntil makes a new one until its
// context ends.
type VsockDialer struct {
	Dial    DialFunc
	Attempt time.Duration // for one attempt; 0 means 2 s
	Pause   time.Duration // between attempts; 0 means 50 ms
}

// ErrVsockRefused says that the socket was closed instead of an OK line: nobody listens, or the guest is not up.
var ErrVsockRefused = errors.New("vsock: closed before OK: nothing listens on the port yet")

// DialUntil tries until the guest accepts or ctx ends. The error holds that of the last attempt.
func (d VsockDialer) DialUntil(ctx context.Context, port uint32) (VsockConn, error) {
	pause := d.Pause
	if pause == 0 {
		pause = 50 * time.Millisecond
	}
	for {
		conn, err := d.DialOnce(ctx, port)
		if err == nil {
			return conn, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w (last attempt: %w)", context.Cause(ctx), err)
		case <-time.After(pause):
		}
	}
}

// DialOnce makes one attempt.
func (d VsockDialer) DialOnce(ctx context.Context, port uint32) (VsockConn, error) {
	limit := d.Attempt
	if limit == 0 {
		limit = 2 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	conn, err := d.Dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("vsock port %d: %w", port, err)
	}
	if err := handshake(ctx, conn, port); err != nil {
		return nil, fmt.Errorf("vsock port %d: %w", port, errors.Join(err, conn.Close()))
	}
	stream, ok := conn.(VsockConn)
	if !ok {
		return nil, fmt.Errorf("vsock port %d: %T can't close one direction: %w", port, conn, errors.Join(errors.ErrUnsupported, conn.Close()))
	}
	return stream, nil
}

func handshake(ctx context.Context, conn net.Conn, port uint32) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	_, err := io.WriteString(conn, "CONNECT "+strconv.FormatUint(uint64(port), 10)+"\n")
	if err == nil {
		_, err = ReadVsockOK(conn)
	}
	if !stop() && err == nil { // the deadline was moved, or is about to be: the connection is of no use
		err = context.Cause(ctx)
	}
	return err
}

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// maxOKLine is more than the longest line there can be.
const maxOKLine = 32

// ReadVsockOK reads the answer to a CONNECT, byte by byte: what the guest sends may follow it at once. It gives
// the local port.
func ReadVsockOK(r io.Reader) (uint32, error) {
	line := make([]byte, 0, maxOKLine)
	for b := make([]byte, 1); ; {
		n, err := r.Read(b)
		if n == 0 && err == nil {
			continue
		}
		if n == 0 {
			if len(line) == 0 && (errors.Is(err, io.EOF) || isReset(err)) {
				return 0, ErrVsockRefused
			}
			return 0, fmt.Errorf("vsock: read the OK line: %w", err)
		}
		if b[0] == '\n' {
			break
		}
		if len(line) == maxOKLine {
			return 0, fmt.Errorf("vsock: answer %q is no OK line", line)
		}
		line = append(line, b[0])
	}
	number, ok := strings.CutPrefix(strings.TrimSuffix(string(line), "\r"), "OK ")
	local, err := strconv.ParseUint(number, 10, 32)
	if !ok || err != nil {
		return 0, fmt.Errorf("vsock: answer %q is no OK line", line)
	}
	return uint32(local), nil
}
