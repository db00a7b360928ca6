// Package format is how ext4 and its journal look on the disk: the records, each with where its fields lie, in bytes and
// back. It knows no file and no tree, changes nothing but the bytes that it is given, and takes from none more than they
// hold. read, build and edit are made of it. The formats are those of Documentation/filesystems/ext4 of the Linux kernel.
package format

import "microagent/runtime/disk/ext4"

// What the Builder's file systems look like.
const (
	InodeSize      = 256
	InodeExtra     = 32 // bytes of the inode behind the first 128
	BlocksPerGroup = 8 * ext4.BlockSize
	InodesPerBlock = ext4.BlockSize / InodeSize
	MaxPerGroup    = 8 * ext4.BlockSize // inodes that one bitmap block can hold
	DescSize       = 64
	DescsPerBlock  = ext4.BlockSize / DescSize
	GroupsPerFlex  = 4 // log2
	MaxLinks       = 65000
	MaxName        = 255

	RootIno    = 2
	ResizeIno  = 7
	JournalIno = 8
	FirstIno   = 11
)

// What the Builder's superblock says.
const (
	StateClean          = 1
	StateErrors         = 2
	ErrorsRemountRO     = 2
	HashHalfMD4         = 1
	HashTEA             = 2
	HashHalfMD4Unsigned = 4
	FlagSignedHash      = 1
	FlagUnsignedHash    = 2
	MountXattrACL       = 0xC // user_xattr, acl
	JournalBackup       = 1   // JournalBlocks holds block map and size
	ChecksumCRC32C      = 1
)

// MaxDirSize is how long a directory may be, in bytes: the kernel's own limit without large_dir.
const MaxDirSize = 2 << 30
