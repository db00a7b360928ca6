package chardev

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// A virtio-serial port keeps what came in buffers of a page, and a read gives no more than is left of one (fill_readbuf in
// Linux's drivers/char/virtio_console.c).
const page = 4096

// mostPages is how many buffers are read at a time.
const mostPages = 32

// Pages reads a virtio-serial port by as many buffers at a time as are there. It reads ahead of nobody.
type Pages struct {
	File *File
	at   int // how much of the first buffer was read
	iov  [mostPages]unix.Iovec
}

// Read waits until there is something; io.EOF while the host has not opened the port.
func (r *Pages) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	parts, size := r.parts(p)
	n, err := r.File.readBy(func(fd uintptr) (int, error) {
		return call(unix.SYS_READV, fd, unsafe.Pointer(&r.iov), parts)
	})
	r.read(n, size)
	return n, err
}

// parts cuts p where the buffers end if all are full: the kernel goes on with the next part only after one that it filled.
func (r *Pages) parts(p []byte) (count, size int) {
	n := min(page-r.at, len(p))
	for ; n > 0 && count < mostPages; n = min(page, len(p)) {
		r.iov[count] = unix.Iovec{Base: unsafe.SliceData(p)}
		r.iov[count].SetLen(n)
		p = p[n:]
		size += n
		count++
	}
	return count, size
}

// read keeps where the next buffer begins after n bytes of size were read. A part that was not filled was the end of one.
func (r *Pages) read(n, size int) {
	if r.at = (r.at + n) % page; n < size {
		r.at = 0
	}
}
