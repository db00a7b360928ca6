package chardev

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Headed is a device of which each read and each write is a record with a header before it, as a TUN with IFF_VNET_HDR. Nothing
// goes to it without one.
type Headed struct {
	file *File
	in   []byte // the header of what was read last
}

// NewHeaded is New for a device with headers of size bytes.
func NewHeaded(f *File, size int) *Headed { return &Headed{f, make([]byte, size)} }

// ReadBy is File.ReadBy, of records without their headers.
func (h *Headed) ReadBy(reads func(read func([]byte) (int, error)) (int, error)) (n int, err error) {
	return h.file.readBy(func(fd uintptr) (int, error) {
		return reads(func(p []byte) (int, error) {
			n, err := record(unix.SYS_READV, fd, h.in, p)
			return max(n-len(h.in), 0), err
		})
	})
}

// WriteRecord waits until there was room for a record.
func (h *Headed) WriteRecord(header, p []byte) (err error) {
	waited := h.file.raw.Write(func(fd uintptr) bool {
		_, err = record(unix.SYS_WRITEV, fd, header, p)
		return err != unix.EAGAIN
	})
	return h.file.failure("write", waited, err, false)
}

// SetReadDeadline is that of the file.
func (h *Headed) SetReadDeadline(t time.Time) error { return h.file.SetReadDeadline(t) }

// record reads or writes one.
func record(number, fd uintptr, header, p []byte) (int, error) {
	parts := [2]unix.Iovec{{Base: unsafe.SliceData(header)}, {Base: unsafe.SliceData(p)}}
	parts[0].SetLen(len(header))
	parts[1].SetLen(len(p))
	return call(number, fd, unsafe.Pointer(&parts), len(parts))
}
