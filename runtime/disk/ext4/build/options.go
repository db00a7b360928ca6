package build

import (
	"fmt"
	"time"

	"microagent/runtime/disk/ext4"
)

// NoSpaceError says that the content needs a larger file system.
type NoSpaceError struct {
	Have int64 // bytes that there are
	Need int64 // bytes that would do for all content, rounded up to whole MiB
}

func (e *NoSpaceError) Error() string {
	return fmt.Sprintf("the content needs a disk of %d MiB, this one has %d bytes", e.Need>>20, e.Have)
}

// Is makes a NoSpaceError an ErrTooLarge.
func (e *NoSpaceError) Is(target error) bool { return target == ext4.ErrTooLarge }

// Options say what file system the Builder makes.
type Options struct {
	// Size of the image in bytes. 0 makes the smallest image that holds the content; such an image can't
	// have a journal.
	Size int64
	// Journal adds one: 4 to 64 MiB by Size.
	Journal bool
	// BytesPerInode is how many bytes of Size there are for each inode; 0 means 16384. The content's own
	// need is always met.
	BytesPerInode int64
	Label         string // at most 16 bytes
	UUID          [16]byte
	HashSeed      [16]byte // of directory indexes
	// Time is when the file system and what has no time of its own were made.
	Time time.Time
}
