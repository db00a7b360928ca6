package ext4

import (
	"errors"
	"fmt"
	"io"

	"microagent/runtime/disk/ext4/super"
)

const (
	readable = super.Filetype | super.NeedsRecovery | super.MetaBG | super.Extents | super.Wide | super.MMP |
		super.FlexBG | super.XattrInode | super.MetadataCsumSeed | super.LargeDir | super.InlineData | super.Encrypt | super.Casefold

	maxDirSize = 2 << 30 // bytes; the kernel's own limit without large_dir
)

// FS is a file system being read. It is safe for use by several goroutines as far as its io.ReaderAt is.
type FS struct {
	r         io.ReaderAt
	super     super.Superblock
	blockSize int64
	groups    uint64
	seed      uint32
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

func corruptf(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrCorrupt}, args...)...)
}

func unsupportedf(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrUnsupported}, args...)...)
}

// Open reads the superblock of an image of size bytes. super.ErrNone when there is none at all, ErrCorrupt when it is none that can be trusted with
// arithmetic, ErrUnsupported when it has features that change what lies where.
func Open(r io.ReaderAt, size int64) (*FS, error) {
	sb, err := super.Read(r)
	if errors.Is(err, super.ErrDamaged) {
		return nil, corruptf("%v", err)
	}
	if err != nil {
		return nil, err
	}
	f := &FS{r: r, super: sb, blockSize: sb.BlockSize()}
	s := &f.super
	if !s.ChecksumOK() {
		return nil, corruptf("superblock checksum")
	}
	if s.IsJournal() {
		return nil, unsupportedf("an external journal is no file system")
	}
	if more := s.Incompat &^ readable; more != 0 {
		return nil, unsupportedf("features that can't be read: %v", more)
	}
	bits := uint32(8 * f.blockSize)
	switch {
	case s.Blocks == 0, s.Blocks > uint64(size)/uint64(f.blockSize):
		return nil, corruptf("%d blocks of %d bytes in an image of %d bytes", s.Blocks, f.blockSize, size)
	case uint64(s.FirstDataBlock) >= s.Blocks, s.FirstDataBlock > 1:
		return nil, corruptf("first data block %d", s.FirstDataBlock)
	case s.BlocksPerGroup == 0, s.BlocksPerGroup > bits && s.ROCompat&super.Bigalloc == 0:
		return nil, corruptf("%d blocks per group", s.BlocksPerGroup)
	case s.InodesPerGroup == 0, s.InodesPerGroup > bits:
		return nil, corruptf("%d inodes per group", s.InodesPerGroup)
	case s.InodeSize < 128, s.InodeSize&(s.InodeSize-1) != 0, int64(s.InodeSize) > f.blockSize:
		return nil, corruptf("inodes of %d bytes", s.InodeSize)
	case s.DescSize < 32, s.DescSize&(s.DescSize-1) != 0, int64(s.DescSize) > f.blockSize:
		return nil, corruptf("descriptors of %d bytes", s.DescSize)
	case s.Incompat&super.Wide != 0 && s.DescSize < descSize:
		return nil, corruptf("64bit with descriptors of %d bytes", s.DescSize)
	}
	f.groups = (s.Blocks - uint64(s.FirstDataBlock) + uint64(s.BlocksPerGroup) - 1) / uint64(s.BlocksPerGroup)
	if uint64(s.Inodes) > f.groups*uint64(s.InodesPerGroup) {
		return nil, corruptf("%d inodes in %d groups", s.Inodes, f.groups)
	}
	f.seed = s.Seed()
	return f, nil
}

// Info gives what the superblock says.
func (f *FS) Info() Info {
	s := &f.super
	return Info{
		Size: s.Length(), BlockSize: f.blockSize, Inodes: s.Inodes,
		Free: int64(min(s.FreeBlocks, s.Blocks)) * f.blockSize, UUID: s.UUID, Label: s.Name(),
		Journal: s.Compat&super.HasJournal != 0, Dirty: s.NeedsRecovery(),
	}
}

func (f *FS) csums() bool { return f.super.ROCompat&super.MetadataCsum != 0 }

// readFull is ReadAt that takes the image's end for corruption.
func readFull(r io.ReaderAt, b []byte, at int64) error {
	n, err := r.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return corruptf("image ends before byte %d", at+int64(len(b)))
	}
	return err
}

// valid says whether blocks start..start+count-1 can hold anything but the superblock.
func (f *FS) valid(start, count uint64) bool {
	return start > uint64(f.super.FirstDataBlock) && start < f.super.Blocks && count <= f.super.Blocks-start
}

// block reads a whole block.
func (f *FS) block(n uint64) ([]byte, error) {
	if !f.valid(n, 1) {
		return nil, corruptf("block %d", n)
	}
	b := make([]byte, f.blockSize)
	return b, readFull(f.r, b, int64(n)*f.blockSize)
}

// descriptorAt is the byte in the image where a group's descriptor lies.
func (f *FS) descriptorAt(g uint64) int64 {
	s := &f.super
	perBlock := uint64(f.blockSize) / uint64(s.DescSize)
	within := int64(g%perBlock) * int64(s.DescSize)
	meta := g / perBlock
	if s.Incompat&super.MetaBG == 0 || meta < uint64(s.FirstMetaBG) {
		return (super.Offset/f.blockSize+1+int64(meta))*f.blockSize + within
	}
	first := meta * perBlock
	at := uint64(s.FirstDataBlock) + first*uint64(s.BlocksPerGroup)
	if s.ROCompat&super.SparseSuper == 0 || super.Sparse(first) {
		at++
	}
	if first == 0 && f.blockSize == super.Offset && s.FirstDataBlock == 0 {
		at++ // bigalloc counts the boot block
	}
	return int64(at)*f.blockSize + within
}

// group reads a group's descriptor.
func (f *FS) group(g uint64) (group, error) {
	var d group
	if g >= f.groups {
		return d, corruptf("group %d", g)
	}
	b := make([]byte, f.super.DescSize)
	if err := readFull(f.r, b, f.descriptorAt(g)); err != nil {
		return d, err
	}
	if f.csums() && groupCsum(b, f.seed, uint32(g)) != le.Uint16(b[0x1E:]) {
		return d, corruptf("checksum of group %d", g)
	}
	d.parse(b)
	return d, nil
}
