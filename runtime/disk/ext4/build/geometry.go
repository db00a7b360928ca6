package build

import (
	"fmt"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/format"
	"microagent/runtime/disk/ext4/super"
)

const (
	maxSize       = 128 << 40 // bytes; one group holds a whole copy of the descriptors up to here
	fitDescBlocks = 128       // descriptors for 1 TiB, the largest image without a given size
	fitUnit       = 1 << 20   // sizes of images that fit their content are multiples of it
	fitMin        = 2 << 20
	minTail       = 64 // blocks that a last group is worth beyond its metadata
)

// geometry is how the file system is divided.
type geometry struct {
	fit        bool
	blocks     uint64 // 0 until known
	groups     uint64
	descBlocks uint64 // of one copy of the descriptors
	perGroup   uint64 // inodes
	journal    uint64 // blocks
}

func newGeometry(opt Options) (geometry, error) {
	if opt.Size == 0 {
		return geometry{fit: true, descBlocks: fitDescBlocks}, nil
	}
	if opt.Size < 0 || opt.Size > maxSize {
		return geometry{}, fmt.Errorf("%w: file system of %d bytes", ext4.ErrInvalid, opt.Size)
	}
	g := sized(uint64(opt.Size)/ext4.BlockSize, opt)
	if least := g.journal + 64; g.blocks < least {
		return g, &NoSpaceError{Have: opt.Size, Need: fitUnit * int64(1+least*ext4.BlockSize/fitUnit)}
	}
	return g, nil
}

// sized divides a number of blocks. A last group too small to be of use is left out.
func sized(blocks uint64, opt Options) geometry {
	g := geometry{blocks: blocks}
	if opt.Journal {
		g.journal = journalBlocks(blocks)
	}
	for {
		g.groups = (g.blocks + format.BlocksPerGroup - 1) / format.BlocksPerGroup
		g.descBlocks = (g.groups + format.DescsPerBlock - 1) / format.DescsPerBlock
		g.perGroup = inodesFor(max(g.blocks*ext4.BlockSize/uint64(opt.BytesPerInode), 16), g.groups)
		tail := g.blocks % format.BlocksPerGroup
		need := 2 + g.perGroup/format.InodesPerBlock + minTail
		if super.Sparse(g.groups - 1) {
			need += 1 + g.descBlocks
		}
		if tail == 0 || g.groups <= 1 || tail >= need {
			return g
		}
		g.blocks -= tail
	}
}

// journalBlocks is small, as a journal is a ring that ends up allocated on the host as a whole.
func journalBlocks(blocks uint64) uint64 {
	switch size := blocks * ext4.BlockSize; {
	case size < 128<<20:
		return 4 << 20 / ext4.BlockSize
	case size < 1<<30:
		return 16 << 20 / ext4.BlockSize
	case size < 2<<30:
		return 32 << 20 / ext4.BlockSize
	default:
		return 64 << 20 / ext4.BlockSize
	}
}

// inodesFor is how many inodes a group gets so that there are total, in whole blocks.
func inodesFor(total, groups uint64) uint64 {
	n := (total + groups - 1) / groups
	n = (n + format.InodesPerBlock - 1) &^ (format.InodesPerBlock - 1)
	most := min(format.MaxPerGroup, (1<<32-1)/groups&^(format.InodesPerBlock-1)) // inode numbers have 32 bits
	return min(max(n, format.InodesPerBlock), most)
}

// limit is where the image ends at the latest, in bytes.
func (g *geometry) limit() int64 {
	if g.fit {
		return fitDescBlocks * format.DescsPerBlock * format.BlocksPerGroup * ext4.BlockSize
	}
	return int64(g.blocks) * ext4.BlockSize
}

// tables places the bitmaps and inode tables of every group.
type tables struct {
	blockBitmap, inodeBitmap, inodeTable []uint64
}

// place takes the groups' metadata from a, kind by kind for each 16 groups.
func (g *geometry) place(a *allocator) tables {
	t := tables{make([]uint64, g.groups), make([]uint64, g.groups), make([]uint64, g.groups)}
	for first := uint64(0); first < g.groups; first += 1 << format.GroupsPerFlex {
		last := min(first+1<<format.GroupsPerFlex, g.groups)
		for i := first; i < last; i++ {
			t.blockBitmap[i] = a.together(1)
		}
		for i := first; i < last; i++ {
			t.inodeBitmap[i] = a.together(1)
		}
		for i := first; i < last; i++ {
			t.inodeTable[i] = a.together(g.perGroup / format.InodesPerBlock)
		}
	}
	return t
}

// settle fixes what was open until the content is known and places the metadata: with a given size the number
// of inodes, else also the size. a is left as it is in the finished image.
func (g *geometry) settle(a *allocator, entries uint64, opt Options) (tables, error) {
	inodes := entries + format.FirstIno
	if !g.fit {
		wanted := max(g.blocks*ext4.BlockSize/uint64(opt.BytesPerInode), inodes)
		if g.blocks*ext4.BlockSize >= 1<<30 {
			wanted = max(wanted, inodes+inodes/4+65536)
		}
		g.perGroup = inodesFor(wanted, g.groups)
		used := a.used(max(a.next, g.blocks)) + g.groups*(2+g.perGroup/format.InodesPerBlock)
		if g.perGroup*g.groups < inodes || a.next > g.blocks || used > g.blocks {
			return tables{}, &NoSpaceError{Have: opt.Size, Need: g.need(a, inodes, opt)}
		}
		t := g.place(a)
		if a.next > g.blocks {
			return t, &NoSpaceError{Have: opt.Size, Need: g.need(a, inodes, opt)}
		}
		return t, nil
	}
	first := max(a.next/format.BlocksPerGroup, 1)
	for g.groups = max(first, (inodes+format.MaxPerGroup-1)/format.MaxPerGroup); ; g.groups++ {
		g.descBlocks = (g.groups + format.DescsPerBlock - 1) / format.DescsPerBlock
		if g.descBlocks > fitDescBlocks {
			return tables{}, fmt.Errorf("%w: content of more than 1 TiB", ext4.ErrTooLarge)
		}
		g.perGroup = inodesFor(inodes, g.groups)
		try := a.clone()
		try.shrink(g.descBlocks)
		t := g.place(&try)
		size := max((try.next*ext4.BlockSize+fitUnit-1)&^(fitUnit-1), fitMin)
		if least := (g.groups-1)*format.BlocksPerGroup + 1 + g.descBlocks + minTail; g.groups > 1 {
			size = max(size, (least*ext4.BlockSize+fitUnit-1)&^(fitUnit-1))
		}
		if size <= g.groups*format.BlocksPerGroup*ext4.BlockSize {
			g.blocks = size / ext4.BlockSize
			*a = try
			return t, nil
		}
	}
}

// need is a size in bytes that would have done for what a holds and inodes.
func (g *geometry) need(a *allocator, inodes uint64, opt Options) int64 {
	content := a.next - g.journal
	for _, r := range a.free {
		content -= r.Count
	}
	for blocks := max(g.blocks, content); ; blocks += fitUnit / ext4.BlockSize {
		n := sized(blocks, opt)
		n.perGroup = inodesFor(max(n.perGroup*n.groups, inodes), n.groups)
		if blocks*ext4.BlockSize >= 1<<30 {
			n.perGroup = max(n.perGroup, inodesFor(inodes+inodes/4+65536, n.groups))
		}
		perGroup := 2 + n.perGroup/format.InodesPerBlock
		sum := content + n.journal + n.groups*perGroup
		for i := range n.groups {
			if super.Sparse(i) {
				sum += 1 + n.descBlocks + perGroup
			}
		}
		if sum <= n.blocks && inodes <= n.groups*n.perGroup {
			return int64(blocks*ext4.BlockSize+fitUnit-1) &^ (fitUnit - 1)
		}
		blocks = max(blocks, sum)
	}
}
