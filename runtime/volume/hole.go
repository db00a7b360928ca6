package volume

import (
	"os"

	"golang.org/x/sys/unix"
)

// hole makes the bytes from one place to another a hole, which reads as zeros.
func hole(image *os.File, from, to int64) error {
	if from >= to {
		return nil
	}
	return unix.Fallocate(int(image.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, from, to-from)
}
