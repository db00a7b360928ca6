package gateway

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"microagent/runtime/network/dial"
	"microagent/runtime/network/stack"
)

// carry carries bytes both ways until both directions have ended, or one is reset, which resets the other. A connection
// that waits has no buffer.
func carry(in *stack.Conn, out dial.Conn) {
	var back sync.WaitGroup
	back.Go(func() {
		if err := receive(out, in); err != nil {
			in.Abort() // which ends the sending as well
			return
		}
		_ = in.CloseWrite()
	})
	if err := send(in, out); err != nil {
		resetAtClose(out)
		in.Abort()
		_ = out.Close() // which ends the receiving as well
	} else if half, ok := out.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	back.Wait()
	_ = in.Close()
}

// resetAtClose makes the end of a connection one that its other side takes for no end.
func resetAtClose(c net.Conn) {
	if tcp, ok := c.(interface{ SetLinger(int) error }); ok {
		_ = tcp.SetLinger(0)
	}
}

// send carries what the guest sends, nil at its end.
func send(in *stack.Conn, out dial.Conn) error {
	for {
		in.Wait()
		b := take(in.Chunk)
		n, err := in.Receive(b)
		if err == nil {
			_, err = out.Write(b[:n])
		}
		give(b)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// receive carries what comes from outside, nil at its end.
func receive(out dial.Conn, in *stack.Conn) error {
	raw, err := out.SyscallConn()
	if err != nil {
		return err
	}
	for {
		b, err := readReady(raw, in.Chunk)
		if err != nil {
			return err
		}
		if len(b) == 0 {
			return nil
		}
		_, err = in.Write(b)
		give(b)
		if err != nil {
			return err
		}
	}
}

// readReady waits until there is something, and takes a buffer only then. None and no error are the end.
func readReady(raw syscall.RawConn, size int) ([]byte, error) {
	var b []byte
	var failed error
	err := raw.Read(func(fd uintptr) bool {
		buf := take(size)
		for {
			n, err := unix.Read(int(fd), buf)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if n > 0 {
				b = buf[:n]
				return true
			}
			give(buf)
			if errors.Is(err, unix.EAGAIN) {
				return false
			}
			failed = err
			return true
		}
	})
	if err == nil {
		err = failed
	}
	return b, err
}

// pools keep buffers of the sizes that there are.
var pools sync.Map // of *sync.Pool by size

func take(size int) []byte {
	pool, ok := pools.Load(size)
	if !ok {
		pool, _ = pools.LoadOrStore(size, &sync.Pool{New: func() any { return new(make([]byte, size)) }})
	}
	return *pool.(*sync.Pool).Get().(*[]byte)
}

// give gives back what take gave, or the beginning of it.
func give(b []byte) {
	b = b[:cap(b)]
	if pool, ok := pools.Load(len(b)); ok {
		pool.(*sync.Pool).Put(&b)
	}
}
