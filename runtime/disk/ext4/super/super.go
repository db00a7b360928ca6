// Package super reads and writes the superblock of ext4 file systems: the one place that knows where in it what lies.
//
// It promises that what it parses can be calculated with (block size and length are in bounds), and that encoding what
// was parsed changes no byte but the checksum. It judges nothing else: which features are too many is for its users,
// who get them by name. It never follows anything that a superblock points to.
//
// It imports the standard library alone, so that the guest's binary may import it. Fields and offsets are those of
// struct ext4_super_block, in Documentation/filesystems/ext4/super.rst of the Linux kernel.
package super

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	Size   = 1024 // of a superblock, in bytes
	Offset = 1024 // of the first one in its file system
	Magic  = 0xEF53
)

// Offsets in a superblock that tests need to damage one.
const (
	MagicOffset    = 0x38
	IncompatOffset = 0x60
	ROOffset       = 0x64
	ChecksumOffset = 0x3FC
)

const (
	largestLog    = 6 // blocks have 64 KiB at most
	largestBlocks = 1 << 46
)

// Errors of Parse and Read.
var (
	ErrNone    = errors.New("no ext4 file system")
	ErrDamaged = errors.New("its ext4 superblock is damaged")
)

// Superblock has the fields that somebody uses; Encode keeps what the others held. Times are seconds since 1970.
type Superblock struct {
	raw [Size]byte

	Inodes, FreeInodes               uint32
	Blocks, ReservedBlocks           uint64
	FreeBlocks                       uint64
	FirstDataBlock                   uint32
	LogBlockSize, LogClusterSize     uint32 // block size is 1024 << LogBlockSize
	BlocksPerGroup, ClustersPerGroup uint32
	InodesPerGroup                   uint32

	LastMount, LastWrite, LastCheck, Made int64
	Mounts, MaxMounts                     uint16

	State         uint16
	ErrorPolicy   uint16
	Revision      uint32
	FirstInode    uint32
	InodeSize     uint16
	MinExtra      uint16 // bytes that every inode has behind the first 128
	WantExtra     uint16 // bytes that a new inode should have there
	Group         uint16 // that this copy lies in
	DescSize      uint16
	ReservedGDT   uint16 // blocks for descriptors to come, per group
	FirstMetaBG   uint32
	BackupGroups  [2]uint32 // where the copies are, with sparse_super2
	LogFlex       uint8
	Compat        Compat
	Incompat      Incompat
	ROCompat      ROCompat
	UUID          [16]byte
	Label         [16]byte // zeros behind it
	LastOrphan    uint32
	HashSeed      [16]byte
	DefaultHash   uint8
	Flags         uint32
	MountOptions  uint32
	ChecksumSeed  uint32
	ChecksumType  uint8
	JournalUUID   [16]byte // of an external journal
	JournalInode  uint32   // 0 where the journal is external
	JournalDevice uint32   // of an external journal
	JournalBackup uint8    // 1: JournalBlocks holds a block map and a size
	JournalBlocks [17]uint32
	MMPInterval   uint16 // seconds between two signs of life of who mounted it, with mmp
	MMPBlock      uint64 // where those are written
	OrphanInode   uint32 // of the file that says what was deleted while it was open, with orphan_file
}

// Read reads the superblock of the file system that r holds. ErrNone when there is none, ErrDamaged as of Parse, else
// what r says.
func Read(r io.ReaderAt) (Superblock, error) {
	var b [Size]byte
	if n, err := r.ReadAt(b[:], Offset); n < Size {
		if err == nil || errors.Is(err, io.EOF) {
			return Superblock{}, ErrNone
		}
		return Superblock{}, fmt.Errorf("read the superblock: %w", err)
	}
	return Parse(b[:])
}

// Parse reads the fields of a superblock of Size bytes. ErrNone when its magic is another, ErrDamaged when block size
// or length are beyond what any file system has. The checksum is for ChecksumOK.
func Parse(b []byte) (Superblock, error) {
	var s Superblock
	if len(b) < Size || binary.LittleEndian.Uint16(b[MagicOffset:]) != Magic {
		return s, ErrNone
	}
	copy(s.raw[:], b)
	s.walk(codec{b: s.raw[:]})
	if s.LogBlockSize > largestLog {
		return Superblock{}, fmt.Errorf("%w: blocks of 2^%d KiB", ErrDamaged, s.LogBlockSize)
	}
	if s.Blocks > largestBlocks {
		return Superblock{}, fmt.Errorf("%w: %d blocks", ErrDamaged, s.Blocks)
	}
	return s, nil
}

// Encode gives the superblock's bytes, with its checksum where it has one. They are s's own.
func (s *Superblock) Encode() []byte {
	s.walk(codec{b: s.raw[:], write: true})
	binary.LittleEndian.PutUint16(s.raw[MagicOffset:], Magic)
	if s.ROCompat&MetadataCsum != 0 {
		binary.LittleEndian.PutUint32(s.raw[ChecksumOffset:], CRC(^uint32(0), s.raw[:ChecksumOffset]))
	}
	return s.raw[:]
}

// ChecksumOK verifies the checksum that was parsed; without metadata_csum there is none.
func (s *Superblock) ChecksumOK() bool {
	return s.ROCompat&MetadataCsum == 0 ||
		binary.LittleEndian.Uint32(s.raw[ChecksumOffset:]) == CRC(^uint32(0), s.raw[:ChecksumOffset])
}

// Seed begins every other checksum of the file system.
func (s *Superblock) Seed() uint32 {
	if s.Incompat&MetadataCsumSeed != 0 {
		return s.ChecksumSeed
	}
	return CRC(^uint32(0), s.UUID[:])
}

// BlockSize is in bytes.
func (s *Superblock) BlockSize() int64 { return 1024 << s.LogBlockSize }

// Length is how many bytes the file system takes.
func (s *Superblock) Length() int64 { return int64(s.Blocks) << (10 + s.LogBlockSize) }

// Name is the label as text.
func (s *Superblock) Name() string {
	label, _, _ := bytes.Cut(s.Label[:], []byte{0})
	return string(label)
}

// NeedsRecovery says that the journal holds what the file system does not: its last writer was killed.
func (s *Superblock) NeedsRecovery() bool { return s.Incompat&NeedsRecovery != 0 }

// NeverMounted says that no kernel mounted it for writing yet.
func (s *Superblock) NeverMounted() bool { return s.LastMount == 0 && s.Mounts == 0 }

// Untouched says that nothing mounted or wrote to it since it was made.
func (s *Superblock) Untouched() bool {
	return s.NeverMounted() && !s.NeedsRecovery() && s.LastWrite == s.Made
}

// ReadOnly says that it was made to be mounted read-only, whatever the mount asks for.
func (s *Superblock) ReadOnly() bool { return s.ROCompat&ReadOnly != 0 }

// IsJournal says that this is another file system's journal and no file system.
func (s *Superblock) IsJournal() bool { return s.Incompat&JournalDev != 0 }

// ExternalJournal says that its journal lies on a device of its own, of JournalUUID.
func (s *Superblock) ExternalJournal() bool { return s.Compat&HasJournal != 0 && s.JournalInode == 0 }

// HasCopy says whether group keeps a copy of superblock and descriptors.
func (s *Superblock) HasCopy(group uint64) bool {
	switch {
	case group == 0:
		return true
	case s.Compat&SparseSuper2 != 0:
		return group == uint64(s.BackupGroups[0]) || group == uint64(s.BackupGroups[1])
	case s.ROCompat&SparseSuper != 0:
		return Sparse(group)
	}
	return true
}

// Sparse says whether group is one of those that keep a copy under sparse_super: 0, 1 and the powers of 3, 5 and 7.
func Sparse(group uint64) bool {
	if group <= 1 {
		return true
	}
	if group%2 == 0 {
		return false
	}
	for _, base := range []uint64{3, 5, 7} {
		p := base
		for p < group {
			p *= base
		}
		if p == group {
			return true
		}
	}
	return false
}
