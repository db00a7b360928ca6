// Package read looks into ext4 file systems without a kernel. An image is taken as hostile: a bad one gives an error that is
// ext4.ErrCorrupt, never a panic, a loop, or an allocation that its size does not justify; one with a feature that changes
// what lies where gives ext4.ErrUnsupported, and names it. An image is never written, also where its journal has to be
// replayed for what is read to be true: OpenReplayed does that beside it.
package read

import (
	"errors"
	"io"

	"microagent/runtime/disk/ext4/format"
	"microagent/runtime/disk/ext4/super"
)

const (
	readable = super.Filetype | super.NeedsRecovery | super.MetaBG | super.Extents | super.Wide | super.MMP |
		super.FlexBG | super.XattrInode | super.MetadataCsumSeed | super.LargeDir | super.InlineData | super.Encrypt | super.Casefold
)

// FS is a file system being read. It is safe for use by several goroutines as far as its io.ReaderAt is.
type FS struct {
	R         io.ReaderAt
	Super     super.Superblock
	BlockSize int64
	Groups    uint64
	Seed      uint32
}

// Info describes a file system.
type Info struct {
	Size      int64 // in bytes, as the superblock has it
	BlockSize int64
	Inodes    uint32
	Free      int64 // bytes; stale after a crash
	UUID      [16]byte
	Label     string
	Journal   bool
	// Dirty says that the journal must be replayed before what is read is true.
	Dirty bool
}

// Open reads the superblock of an image of size bytes. super.ErrNone when there is none at all, ErrCorrupt when it is none that can be trusted with
// arithmetic, ErrUnsupported when it has features that change what lies where.
func Open(r io.ReaderAt, size int64) (*FS, error) {
	sb, err := super.Read(r)
	if errors.Is(err, super.ErrDamaged) {
		return nil, format.Corruptf("%v", err)
	}
	if err != nil {
		return nil, err
	}
	f := &FS{R: r, Super: sb, BlockSize: sb.BlockSize()}
	s := &f.Super
	if !s.ChecksumOK() {
		return nil, format.Corruptf("superblock checksum")
	}
	if s.IsJournal() {
		return nil, format.Unsupportedf("an external journal is no file system")
	}
	if more := s.Incompat &^ readable; more != 0 {
		return nil, format.Unsupportedf("features that can't be read: %v", more)
	}
	bits := uint32(8 * f.BlockSize)
	switch {
	case s.Blocks == 0, s.Blocks > uint64(size)/uint64(f.BlockSize):
		return nil, format.Corruptf("%d blocks of %d bytes in an image of %d bytes", s.Blocks, f.BlockSize, size)
	case uint64(s.FirstDataBlock) >= s.Blocks, s.FirstDataBlock > 1:
		return nil, format.Corruptf("first data block %d", s.FirstDataBlock)
	case s.BlocksPerGroup == 0, s.BlocksPerGroup > bits && s.ROCompat&super.Bigalloc == 0:
		return nil, format.Corruptf("%d blocks per group", s.BlocksPerGroup)
	case s.InodesPerGroup == 0, s.InodesPerGroup > bits:
		return nil, format.Corruptf("%d inodes per group", s.InodesPerGroup)
	case s.InodeSize < 128, s.InodeSize&(s.InodeSize-1) != 0, int64(s.InodeSize) > f.BlockSize:
		return nil, format.Corruptf("inodes of %d bytes", s.InodeSize)
	case s.DescSize < 32, s.DescSize&(s.DescSize-1) != 0, int64(s.DescSize) > f.BlockSize:
		return nil, format.Corruptf("descriptors of %d bytes", s.DescSize)
	case s.Incompat&super.Wide != 0 && s.DescSize < format.DescSize:
		return nil, format.Corruptf("64bit with descriptors of %d bytes", s.DescSize)
	}
	f.Groups = (s.Blocks - uint64(s.FirstDataBlock) + uint64(s.BlocksPerGroup) - 1) / uint64(s.BlocksPerGroup)
	if uint64(s.Inodes) > f.Groups*uint64(s.InodesPerGroup) {
		return nil, format.Corruptf("%d inodes in %d groups", s.Inodes, f.Groups)
	}
	if f.TableBlocks() > s.Blocks/f.Groups {
		return nil, format.Corruptf("%d groups with %d blocks of inodes each in %d blocks", f.Groups, f.TableBlocks(), s.Blocks)
	}
	f.Seed = s.Seed()
	return f, nil
}

// Info gives what the superblock says.
func (f *FS) Info() Info {
	s := &f.Super
	return Info{
		Size: s.Length(), BlockSize: f.BlockSize, Inodes: s.Inodes,
		Free: int64(min(s.FreeBlocks, s.Blocks)) * f.BlockSize, UUID: s.UUID, Label: s.Name(),
		Journal: s.Compat&super.HasJournal != 0, Dirty: s.NeedsRecovery(),
	}
}

// Csums says whether metadata has checksums.
func (f *FS) Csums() bool { return f.Super.ROCompat&super.MetadataCsum != 0 }

// Valid says whether blocks start..start+count-1 can hold anything but the superblock.
func (f *FS) Valid(start, count uint64) bool {
	return start > uint64(f.Super.FirstDataBlock) && start < f.Super.Blocks && count <= f.Super.Blocks-start
}

// Block reads a whole block.
func (f *FS) Block(n uint64) ([]byte, error) {
	if !f.Valid(n, 1) {
		return nil, format.Corruptf("block %d", n)
	}
	b := make([]byte, f.BlockSize)
	return b, format.ReadFull(f.R, b, int64(n)*f.BlockSize)
}

// DescriptorAt is the byte in the image where a group's descriptor lies.
func (f *FS) DescriptorAt(g uint64) int64 {
	s := &f.Super
	perBlock := uint64(f.BlockSize) / uint64(s.DescSize)
	within := int64(g%perBlock) * int64(s.DescSize)
	meta := g / perBlock
	if s.Incompat&super.MetaBG == 0 || meta < uint64(s.FirstMetaBG) {
		return (super.Offset/f.BlockSize+1+int64(meta))*f.BlockSize + within
	}
	first := meta * perBlock
	at := uint64(s.FirstDataBlock) + first*uint64(s.BlocksPerGroup)
	if s.ROCompat&super.SparseSuper == 0 || super.Sparse(first) {
		at++
	}
	if first == 0 && f.BlockSize == super.Offset && s.FirstDataBlock == 0 {
		at++ // bigalloc counts the boot block
	}
	return int64(at)*f.BlockSize + within
}

// Group reads a group's descriptor.
func (f *FS) Group(g uint64) (format.Group, error) {
	var d format.Group
	if g >= f.Groups {
		return d, format.Corruptf("group %d", g)
	}
	b := make([]byte, f.Super.DescSize)
	if err := format.ReadFull(f.R, b, f.DescriptorAt(g)); err != nil {
		return d, err
	}
	if f.Csums() && !format.GroupCsumOK(b, f.Seed, uint32(g)) {
		return d, format.Corruptf("checksum of group %d", g)
	}
	d.Parse(b)
	return d, nil
}
