package agent

import (
	"context"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fullServer listens and has no room for one more connection.
func fullServer(t *testing.T) (listener int, at unix.Sockaddr) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	if at, err = unix.Getsockname(fd); err != nil {
		t.Fatal(err)
	}
	first, err := connectTCP(t.Context(), at) // fills the queue
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { first.Close() })
	return fd, at
}

// TestAConnectWaitsForRoom has a server that takes one connection late, and then the next.
func TestAConnectWaitsForRoom(t *testing.T) {
	listener, at := fullServer(t)
	made := make(chan error, 1)
	go func() {
		conn, err := connectTCP(t.Context(), at)
		if err == nil {
			_, err = conn.Write([]byte("x"))
			err = errors.Join(err, conn.CloseWrite(), conn.Close())
		}
		made <- err
	}()
	for range 2 {
		conn, _, err := unix.Accept(listener)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(conn)
	}
	if err := <-made; err != nil {
		t.Error(err)
	}
}

func TestAConnectEndsWithItsContext(t *testing.T) {
	_, at := fullServer(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if conn, err := connectTCP(ctx, at); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, %v", conn, err)
	}
}
