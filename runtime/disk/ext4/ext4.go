// Package ext4 writes and reads ext4 file systems in files, without root and without a kernel.
//
// The writer (Builder) promises: one pass over the input, data goes straight to its final blocks, metadata
// follows at the end; the same calls and options give the same bytes on every host; what it finishes passes
// e2fsck -fn and mounts; an error leaves a file that holds no valid superblock. The reader (FS) treats the
// image as hostile: a bad one gives an error that is ErrCorrupt, never a panic, a loop or an allocation that
// its size does not justify. Neither ever changes a file system in place.
//
// Recover and the Editor do. Recover brings to its place what the journal holds. The Editor adds and replaces files
// of a file system that nobody else uses: what it does between two Commits becomes true by one transaction in the
// file system's own journal, so that whenever it is broken off, the next replay, ours or a kernel's, gives the state
// before or the one after. It never touches a file system with a feature that it does not know how to keep.
//
// On-disk formats follow Documentation/filesystems/ext4 of the Linux kernel.
package ext4

import (
	"errors"
	"fmt"
	"time"
)

// BlockSize is the block size of everything the Builder writes, in bytes.
const BlockSize = 4096

// MaxFileSize is the largest file in bytes: 2^32-1 blocks, the reach of an extent.
const MaxFileSize = (1<<32 - 1) * BlockSize

const (
	inodeSize      = 256
	inodeExtra     = 32 // bytes of the inode behind the first 128
	blocksPerGroup = 8 * BlockSize
	inodesPerBlock = BlockSize / inodeSize
	maxPerGroup    = 8 * BlockSize // inodes that one bitmap block can hold
	descSize       = 64
	descsPerBlock  = BlockSize / descSize
	groupsPerFlex  = 4 // log2
	maxLinks       = 65000
	maxName        = 255

	rootIno    = 2
	journalIno = 8
	firstIno   = 11
)

// What the Builder's superblock says.
const (
	stateClean      = 1
	stateErrors     = 2
	errorsRemountRO = 2
	hashHalfMD4     = 1
	flagSignedHash  = 1
	mountXattrACL   = 0xC // user_xattr, acl
	journalBackup   = 1   // JournalBlocks holds block map and size
	checksumCRC32C  = 1
)

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

// NoSpaceError says that the content needs a larger file system.
type NoSpaceError struct {
	Have int64 // bytes that there are
	Need int64 // bytes that would do for all content, rounded up to whole MiB
}

func (e *NoSpaceError) Error() string {
	return fmt.Sprintf("the content needs a disk of %d MiB, this one has %d bytes", e.Need>>20, e.Have)
}

// Is makes a NoSpaceError an ErrTooLarge.
func (e *NoSpaceError) Is(target error) bool { return target == ErrTooLarge }

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

// Attr are an inode's attributes.
type Attr struct {
	Mode     uint32 // permissions, setuid, setgid and sticky: 07777
	UID, GID uint32
	Mtime    time.Time
	// Xattrs by full name ("user.x", "security.capability"). POSIX ACLs are in the form of the system
	// calls ("system.posix_acl_access", version 2).
	Xattrs map[string][]byte
}
