// Package chardev reads and writes the character devices of a guest through which much passes: the serial port to the host,
// and the interface of the network. It promises that a call costs as little of the guest's CPU as it can: Go's scheduler is
// not told of a system call, since on a device that never blocks none lasts. What it is told of wakes a thread that polls by
// a timer until all is idle again, and under emulation those timers take more than the calls.
package chardev

import (
	"errors"
	"io"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// File is a device that was opened to never block. One goroutine may read while another writes.
type File struct {
	*os.File
	raw syscall.RawConn
}

// New reads and writes f from now on, and nobody else.
func New(f *os.File) (*File, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	return &File{f, raw}, nil
}

// Read waits until there is something. io.EOF where the other side has the device not open.
func (f *File) Read(p []byte) (int, error) {
	return f.ReadBy(func(read func([]byte) (int, error)) (int, error) { return read(p) })
}

// ReadBy calls reads as soon as there may be something, and again until it gives more than 0 or an error other than
// unix.EAGAIN. Its argument reads once, and gives unix.EAGAIN when nothing is there.
func (f *File) ReadBy(reads func(read func([]byte) (int, error)) (int, error)) (int, error) {
	return f.readBy(func(fd uintptr) (int, error) {
		return reads(func(p []byte) (int, error) {
			return call(unix.SYS_READ, fd, unsafe.Pointer(unsafe.SliceData(p)), len(p))
		})
	})
}

// readBy is ReadBy of what reads the descriptor itself.
func (f *File) readBy(reads func(fd uintptr) (int, error)) (n int, err error) {
	waited := f.raw.Read(func(fd uintptr) bool {
		n, err = reads(fd)
		if n > 0 {
			err = nil // it comes again
		}
		return err != unix.EAGAIN
	})
	return n, f.failure("read", waited, err, n == 0)
}

// Write waits until there was room for all of p.
func (f *File) Write(p []byte) (int, error) {
	done := 0
	var err error
	waited := f.raw.Write(func(fd uintptr) bool {
		for done < len(p) && err == nil {
			var n int
			n, err = call(unix.SYS_WRITE, fd, unsafe.Pointer(unsafe.SliceData(p[done:])), len(p)-done)
			if err == unix.EAGAIN {
				err = nil
				return false
			}
			done += n
		}
		return true
	})
	return done, f.failure("write", waited, err, false)
}

// failure says what came of waiting for the device, and of the call; over is for a read of nothing.
func (f *File) failure(op string, waited, err error, over bool) error {
	switch {
	case errors.Is(waited, os.ErrDeadlineExceeded):
		err = waited
	case waited != nil:
		err = os.ErrClosed
	case err == nil && over:
		return io.EOF
	case err == nil:
		return nil
	}
	return &os.PathError{Op: op, Path: f.Name(), Err: err}
}

// call is read, write, readv or writev, whose last two arguments are given.
func call(number, fd uintptr, at unsafe.Pointer, size int) (int, error) {
	for {
		n, _, errno := unix.RawSyscall(number, fd, uintptr(at), uintptr(size))
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
			continue
		}
		return 0, errno
	}
}
