package target

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Discard tells the device that it may forget the bytes; one that can't keeps them.
func (d *deviceDraft) Discard(at, n int64) error {
	if at < headSize { // never the head, which is written last
		n, at = n-(headSize-at), headSize
	}
	if n <= 0 {
		return nil
	}
	region := [2]uint64{uint64(at), uint64(n)}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, d.file.Fd(), unix.BLKDISCARD, uintptr(unsafe.Pointer(&region)))
	if errno != 0 && !errors.Is(errno, unix.EOPNOTSUPP) && !errors.Is(errno, unix.EINVAL) {
		return errno
	}
	return nil
}
