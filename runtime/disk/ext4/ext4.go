// Package ext4 is what all say who deal with ext4 file systems in files: attributes, types, classes of errors. build
// makes file systems, read looks into them, edit changes them in place, all without root and without a kernel; format is
// how they look on the disk, super the superblock alone. The tests here hold the four together, and to e2fsprogs and
// the kernel.
//
// On-disk formats follow Documentation/filesystems/ext4 of the Linux kernel.
package ext4

import (
	"errors"
	"time"
)

// BlockSize is the block size of everything that build writes, in bytes.
const BlockSize = 4096

// MaxFileSize is the largest file in bytes: 2^32-1 blocks, the reach of an extent.
const MaxFileSize = (1<<32 - 1) * BlockSize

// File types in an inode's mode.
const (
	ModeFIFO    = 0x1000
	ModeChar    = 0x2000
	ModeDir     = 0x4000
	ModeBlock   = 0x6000
	ModeRegular = 0x8000
	ModeSymlink = 0xA000
	ModeSocket  = 0xC000
	ModeType    = 0xF000
)

// Errors of this package; callers give them their own class.
var (
	ErrCorrupt     = errors.New("file system is corrupt")
	ErrUnsupported = errors.New("file system feature is not supported")
	ErrInvalid     = errors.New("not possible in ext4")
	ErrTooLarge    = errors.New("does not fit in the file system")
)

// Attr are an inode's attributes.
type Attr struct {
	Mode     uint32 // permissions, setuid, setgid and sticky: 07777
	UID, GID uint32
	Mtime    time.Time
	// Xattrs by full name ("user.x", "security.capability"). POSIX ACLs are in the form of the system
	// calls ("system.posix_acl_access", version 2).
	Xattrs map[string][]byte
}
