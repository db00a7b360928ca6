package ext4

import (
	"errors"
	"fmt"
	"io"
)

const (
	readable = incompatFiletype | incompatRecover | incompatMetaBG | incompatExtents | incompat64Bit | incompatMMP |
		incompatFlexBG | incompatXattrInode | incompatCsumSeed | incompatLargeDir | incompatInline | incompatCrypt | incompatCasefold

	maxDirSize = 2 << 30 // bytes; the kernel's own limit without large_dir
)

// FS is a file system being read. It is safe for use by several goroutines as far as its io.ReaderAt is.
type FS struct {
	r         io.ReaderAt
	super     superblock
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

// Open reads the superblock of an image of size bytes. ErrCorrupt when it is none that can be trusted with
// arithmetic, ErrUnsupported when it has features that change what lies where.
func Open(r io.ReaderAt, size int64) (*FS, error) {
	f := &FS{r: r}
	if err := readFull(r, f.super.raw[:], superOffset); err != nil {
		return nil, err
	}
	s := &f.super
	if !s.parse() {
		return nil, corruptf("no ext4 superblock")
	}
	if !s.checksumOK() {
		return nil, corruptf("superblock checksum")
	}
	if s.incompat&incompatJournalDev != 0 {
		return nil, unsupportedf("an external journal is no file system")
	}
	if more := s.incompat &^ readable; more != 0 {
		return nil, unsupportedf("incompatible features %#x", more)
	}
	if s.logBlockSize > 6 {
		return nil, corruptf("block size 2^%d KiB", s.logBlockSize)
	}
	f.blockSize = 1024 << s.logBlockSize
	bits := uint32(8 * f.blockSize)
	switch {
	case s.blocks == 0, s.blocks > uint64(size)/uint64(f.blockSize):
		return nil, corruptf("%d blocks of %d bytes in an image of %d bytes", s.blocks, f.blockSize, size)
	case uint64(s.firstDataBlock) >= s.blocks, s.firstDataBlock > 1:
		return nil, corruptf("first data block %d", s.firstDataBlock)
	case s.perGroup == 0, s.perGroup > bits && s.ro&roBigalloc == 0:
		return nil, corruptf("%d blocks per group", s.perGroup)
	case s.inodesPerGroup == 0, s.inodesPerGroup > bits:
		return nil, corruptf("%d inodes per group", s.inodesPerGroup)
	case s.inodeSize < 128, s.inodeSize&(s.inodeSize-1) != 0, int64(s.inodeSize) > f.blockSize:
		return nil, corruptf("inodes of %d bytes", s.inodeSize)
	case s.descSize < 32, s.descSize&(s.descSize-1) != 0, int64(s.descSize) > f.blockSize:
		return nil, corruptf("descriptors of %d bytes", s.descSize)
	case s.incompat&incompat64Bit != 0 && s.descSize < descSize:
		return nil, corruptf("64bit with descriptors of %d bytes", s.descSize)
	}
	f.groups = (s.blocks - uint64(s.firstDataBlock) + uint64(s.perGroup) - 1) / uint64(s.perGroup)
	if uint64(s.inodes) > f.groups*uint64(s.inodesPerGroup) {
		return nil, corruptf("%d inodes in %d groups", s.inodes, f.groups)
	}
	f.seed = s.seed()
	return f, nil
}

// Info gives what the superblock says.
func (f *FS) Info() Info {
	s := &f.super
	label := s.label[:]
	for len(label) > 0 && label[len(label)-1] == 0 {
		label = label[:len(label)-1]
	}
	return Info{
		Size: int64(s.blocks) * f.blockSize, BlockSize: f.blockSize, Inodes: s.inodes,
		Free: int64(min(s.freeBlocks, s.blocks)) * f.blockSize, UUID: s.uuid, Label: string(label),
		Journal: s.compat&compatJournal != 0, Dirty: s.incompat&incompatRecover != 0,
	}
}

func (f *FS) csums() bool { return f.super.ro&roMetaCsum != 0 }

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
	return start > uint64(f.super.firstDataBlock) && start < f.super.blocks && count <= f.super.blocks-start
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
	perBlock := uint64(f.blockSize) / uint64(s.descSize)
	within := int64(g%perBlock) * int64(s.descSize)
	meta := g / perBlock
	if s.incompat&incompatMetaBG == 0 || meta < uint64(s.firstMetaBG) {
		return (superOffset/f.blockSize+1+int64(meta))*f.blockSize + within
	}
	first := meta * perBlock
	at := uint64(s.firstDataBlock) + first*uint64(s.perGroup)
	if s.ro&roSparseSuper == 0 || hasSuper(first) {
		at++
	}
	if first == 0 && f.blockSize == superOffset && s.firstDataBlock == 0 {
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
	b := make([]byte, f.super.descSize)
	if err := readFull(f.r, b, f.descriptorAt(g)); err != nil {
		return d, err
	}
	if f.csums() && groupCsum(b, f.seed, uint32(g)) != le.Uint16(b[0x1E:]) {
		return d, corruptf("checksum of group %d", g)
	}
	d.parse(b)
	return d, nil
}
