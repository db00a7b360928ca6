package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"unsafe"
)

// What follows is bare system calls, so that a benchmark measures the way to the server and not the server: not even Go's
// scheduler is told of one that waits, for it wakes up again and again to see whether another thread is wanted. The
// process has nothing else to do.

var page = []byte("HTTP/1.1 200 OK\r\nContent-Length: 1024\r\nConnection: close\r\n\r\n" + string(make([]byte, 1024)))

var loopback = [4]byte{127, 0, 0, 1}

// answerAll gives a page to one connection after the other.
func answerAll(port int) {
	l := must(syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0))
	check(syscall.SetsockoptInt(l, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1))
	check(syscall.Bind(l, &syscall.SockaddrInet4{Port: port, Addr: loopback}))
	check(syscall.Listen(l, 1024))
	buffer := make([]byte, 4096)
	for {
		c, err := call(syscall.SYS_ACCEPT, l, nil)
		if err == syscall.ECONNABORTED {
			continue
		}
		check(err)
		if asked(c, buffer) {
			_, _ = call(syscall.SYS_WRITE, c, page) // fails where the client is gone
		}
		_, _ = call(syscall.SYS_CLOSE, c, nil)
	}
}

// asked reads a request to its end.
func asked(c int, buffer []byte) bool {
	for have := 0; have < len(buffer); {
		n, err := call(syscall.SYS_READ, c, buffer[have:])
		if n <= 0 || err != nil {
			return false
		}
		if have += n; bytes.HasSuffix(buffer[:have], []byte("\r\n\r\n")) {
			return true
		}
	}
	return false
}

// ask takes a page so often, from within the guest, and says when it begins and when it is done.
func ask(port int, times string) {
	n, request, buffer := must(strconv.Atoi(times)), []byte("GET / HTTP/1.1\r\nHost: guest\r\n\r\n"), make([]byte, 4096)
	fmt.Fprintln(os.Stdout, "begun")
	for range n {
		c := must(syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0))
		check(syscall.Connect(c, &syscall.SockaddrInet4{Port: port, Addr: loopback}))
		must(call(syscall.SYS_WRITE, c, request))
		got := 0
		for {
			n := must(call(syscall.SYS_READ, c, buffer))
			if got += n; n == 0 {
				break
			}
		}
		if got != len(page) {
			panic(fmt.Sprint(got, " bytes of ", len(page)))
		}
		must(call(syscall.SYS_CLOSE, c, nil))
	}
	fmt.Fprintln(os.Stdout, "done")
}

// call makes a system call of a socket and, where there is one, a buffer.
func call(number uintptr, socket int, buffer []byte) (int, error) {
	for {
		n, _, err := syscall.RawSyscall(number, uintptr(socket), uintptr(unsafe.Pointer(unsafe.SliceData(buffer))), uintptr(len(buffer)))
		switch err {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		default:
			return -1, err
		}
	}
}

func must[T any](v T, err error) T {
	check(err)
	return v
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
