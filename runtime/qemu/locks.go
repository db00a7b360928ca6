package qemu

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// lockDisk takes the lock that Cloud Hypervisor takes on a disk, over the whole file: an open-file-description
// lock, for writing unless the disk is read-only. It never conflicts with the flock that is a lease. It belongs
// to the open file, which QEMU gets, so it lasts as long as either has it open.
func lockDisk(file *os.File, readOnly bool) error {
	kind := int16(unix.F_WRLCK)
	word := "Write"
	if readOnly {
		kind, word = unix.F_RDLCK, "Read"
	}
	err := ofdLock(file, kind)
	if err == nil {
		return nil
	}
	first := fmt.Sprintf("Failed to get %s lock for disk image: %s", word, file.Name())
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return because(first, "The file is already locked")
	}
	return wrap(err, first, "The lock state could not be checked or set")
}

// ofdLock sets a lock of the given kind on all of file and does not wait.
func ofdLock(file *os.File, kind int16) error {
	return unix.FcntlFlock(file.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: kind})
}
