package read

import (
	"fmt"
	"iter"

	"microagent/runtime/disk/ext4/format"
	"microagent/runtime/disk/ext4/super"
)

// TableBlocks is how many blocks a group's inode table has.
func (f *FS) TableBlocks() uint64 {
	return (uint64(f.Super.InodesPerGroup)*uint64(f.Super.InodeSize) + uint64(f.BlockSize) - 1) / uint64(f.BlockSize)
}

// BaseBlocks is how many blocks copies of superblock and descriptors take at a group's beginning, all of its own at most.
func (f *FS) BaseBlocks(n uint64) uint64 {
	s := &f.Super
	perBlock := uint64(f.BlockSize) / uint64(s.DescSize)
	has := s.HasCopy(n)
	blocks := uint64(0)
	if has {
		blocks = 1
	}
	if s.Incompat&super.MetaBG == 0 || n/perBlock < uint64(s.FirstMetaBG) {
		if has {
			descriptors := (f.Groups + perBlock - 1) / perBlock
			if s.Incompat&super.MetaBG != 0 {
				descriptors = uint64(s.FirstMetaBG)
			}
			blocks += descriptors + uint64(s.ReservedGDT)
		}
	} else if i := n % perBlock; i == 0 || i == 1 || i == perBlock-1 {
		blocks++
	}
	_, all := f.GroupBlocks(n)
	return min(blocks, uint64(all))
}

// GroupBlocks is where a group begins, and how many blocks it has.
func (f *FS) GroupBlocks(g uint64) (first uint64, count uint32) {
	first = uint64(f.Super.FirstDataBlock) + g*uint64(f.Super.BlocksPerGroup)
	return first, uint32(min(uint64(f.Super.BlocksPerGroup), f.Super.Blocks-first))
}

// hasUninit says whether descriptors can say that a bitmap was never written.
func (f *FS) hasUninit() bool { return f.Csums() || f.Super.ROCompat&super.UninitBG != 0 }

// BlockBitmap is the bitmap of a group's blocks, verified, or made where it was never written.
func (f *FS) BlockBitmap(n uint64, d format.Group) ([]byte, error) {
	if f.Super.ROCompat&super.Bigalloc != 0 {
		return nil, format.Unsupportedf("a bitmap of clusters")
	}
	if f.hasUninit() && d.Flags&format.GroupBlockUninit != 0 {
		return f.newBlockBitmap(n, d), nil
	}
	b, err := f.bitmap(d.BlockBitmap, f.Super.BlocksPerGroup, d.BlockCsum)
	if err != nil {
		return nil, fmt.Errorf("block bitmap of group %d: %w", n, err)
	}
	return b, nil
}

// InodeBitmap is that of a group's inodes, as BlockBitmap.
func (f *FS) InodeBitmap(n uint64, d format.Group) ([]byte, error) {
	if f.hasUninit() && d.Flags&format.GroupInodeUninit != 0 {
		b := make([]byte, f.BlockSize)
		format.SetBits(b, uint64(f.Super.InodesPerGroup), uint64(8*f.BlockSize))
		return b, nil
	}
	b, err := f.bitmap(d.InodeBitmap, f.Super.InodesPerGroup, d.InodeCsum)
	if err != nil {
		return nil, fmt.Errorf("inode bitmap of group %d: %w", n, err)
	}
	return b, nil
}

// bitmap reads a bitmap of so many bits and verifies it.
func (f *FS) bitmap(at uint64, bits, sum uint32) ([]byte, error) {
	b, err := f.Block(at)
	if err != nil {
		return nil, err
	}
	if f.Csums() && f.BitmapCsum(b, bits) != sum {
		return nil, format.Corruptf("checksum")
	}
	return b, nil
}

// BitmapCsum is the checksum of a bitmap of so many bits.
func (f *FS) BitmapCsum(b []byte, bits uint32) uint32 {
	c := format.CRC(f.Seed, b[:bits/8])
	if f.Super.DescSize < format.DescSize {
		c &= 0xFFFF
	}
	return c
}

// newBlockBitmap is the bitmap of a group that has nothing but its own metadata.
func (f *FS) newBlockBitmap(n uint64, d format.Group) []byte {
	first, blocks := f.GroupBlocks(n)
	b := make([]byte, f.BlockSize)
	format.SetBits(b, 0, f.BaseBlocks(n))
	mark := func(start, count uint64) {
		end := start + count
		start, end = max(start, first), min(end, first+uint64(blocks))
		if start < end {
			format.SetBits(b, start-first, end-first)
		}
	}
	mark(d.BlockBitmap, 1)
	mark(d.InodeBitmap, 1)
	mark(d.InodeTable, f.TableBlocks())
	format.SetBits(b, uint64(blocks), uint64(8*f.BlockSize))
	return b
}

// Used goes through the blocks that are in use, as runs of bytes of the image in their order. A file system whose bitmaps
// count clusters is in use throughout.
func (f *FS) Used() iter.Seq2[Extent, error] {
	return func(yield func(Extent, error) bool) {
		size := f.BlockSize
		if f.Super.ROCompat&super.Bigalloc != 0 {
			yield(Extent{Length: f.Super.Length()}, nil)
			return
		}
		run := Extent{Length: int64(f.Super.FirstDataBlock) * size}
		for g := range f.Groups {
			d, err := f.Group(g)
			var b []byte
			if err == nil {
				b, err = f.BlockBitmap(g, d)
			}
			if err != nil {
				yield(Extent{}, err)
				return
			}
			first, count := f.GroupBlocks(g)
			for i := uint32(0); i < count; i++ {
				if b[i/8]&(1<<(i%8)) == 0 {
					continue
				}
				at := int64(first+uint64(i)) * size
				if run.Physical+run.Length == at {
					run.Length += size
					continue
				}
				if run.Length > 0 && !yield(run, nil) {
					return
				}
				run = Extent{Physical: at, Length: size}
			}
		}
		if run.Length > 0 {
			yield(run, nil)
		}
	}
}
