package ext4

import (
	"math/bits"

	"microagent/runtime/disk/ext4/super"

	"golang.org/x/sys/unix"
)

// Summary says what a finished file system holds.
type Summary struct {
	Size    int64 // of the image in bytes
	Entries int   // inodes in use, the root not counted
	Free    int64 // bytes
}

// Finish writes the metadata, the superblock last, and ends the builder. The file is not synced.
func (b *Builder) Finish() (Summary, error) {
	defer b.Close()
	b.number()
	for _, n := range b.inodes {
		if err := b.finishInode(n); err != nil {
			return Summary{}, err
		}
	}
	journal := &inode{num: journalIno, mode: ModeRegular | 0o600, links: 1, mtime: stampOf(b.opt.Time), extents: b.journal,
		size: int64(b.geo.journal) * BlockSize}
	if b.geo.journal > 0 {
		if err := b.finishInode(journal); err != nil {
			return Summary{}, err
		}
		if err := b.out.write(b.journal[0].phys, journalSuper(uint32(b.geo.journal), b.opt.UUID)); err != nil {
			return Summary{}, err
		}
	}
	t, err := b.geo.settle(&b.alloc, b.live, b.opt)
	if err != nil {
		return Summary{}, err
	}
	groups := make([]group, b.geo.groups)
	for i := range groups {
		groups[i] = group{blockBitmap: t.blockBitmap[i], inodeBitmap: t.inodeBitmap[i], inodeTable: t.inodeTable[i]}
	}
	if err := b.writeInodes(groups, journal); err != nil {
		return Summary{}, err
	}
	s, err := b.writeGroups(groups, journal)
	if err != nil {
		return Summary{}, err
	}
	if err := b.out.close(); err != nil {
		return Summary{}, err
	}
	if err := b.punch(); err != nil {
		return Summary{}, err
	}
	size := int64(b.geo.blocks) * BlockSize
	if b.opt.Size > 0 {
		size = b.opt.Size
	}
	if err := b.file.Truncate(size); err != nil {
		return Summary{}, err
	}
	if _, err := b.file.WriteAt(s.Encode(), super.Offset); err != nil {
		return Summary{}, err
	}
	return Summary{Size: size, Entries: int(b.live), Free: int64(s.FreeBlocks) * BlockSize}, nil
}

// number drops dead inodes, puts the root first and numbers all in the order they were made.
func (b *Builder) number() {
	list := make([]*inode, 1, b.live+1)
	list[0] = b.root
	for _, n := range b.inodes {
		if n.links > 0 {
			n.num = uint32(firstIno + len(list) - 1)
			list = append(list, n)
		}
	}
	b.inodes = list
}

// finishInode writes the blocks of metadata that belong to one inode.
func (b *Builder) finishInode(n *inode) error {
	if n.isDir() {
		blocks, indexed, err := dirBlocks(n, b.seed, &b.hash)
		if err != nil {
			return err
		}
		n.indexed = indexed
		n.size = int64(len(blocks)) * BlockSize
		for i := 0; i < len(blocks); {
			r := b.alloc.take(uint64(len(blocks) - i))
			n.extents = appendBlocks(n.extents, uint32(i), r.start, uint32(r.count))
			for k := range r.count {
				if err := b.out.write(r.start+k, blocks[i]); err != nil {
					return err
				}
				i++
			}
		}
	}
	if len(n.extents) > extentsInline {
		root, count, err := extentTree(n.extents, inodeSeed(b.seed, n.num, 0), func(node []byte) (uint64, error) {
			at := b.alloc.take(1).start
			return at, b.out.write(at, node)
		})
		if err != nil {
			return err
		}
		n.root, n.metaBlocks = &root, count
	}
	_, block, err := splitXattrs(n.xattrs)
	if err != nil || len(block) == 0 {
		return err
	}
	n.xattrBlock = b.alloc.take(1).start
	return b.out.write(n.xattrBlock, xattrBlock(block, b.seed, n.xattrBlock))
}

// encode is the inode's record.
func (b *Builder) encode(n *inode) record {
	r := record{
		mode: n.mode, uid: n.uid, gid: n.gid, size: uint64(n.size), links: uint16(min(n.links, maxLinks)),
		atime: n.mtime, ctime: n.mtime, mtime: n.mtime, btime: n.mtime, extra: inodeExtra, xattrBlock: n.xattrBlock,
	}
	switch n.mode & ModeType {
	case ModeDir:
		r.links = 1
		if n.subdirs+2 <= maxLinks {
			r.links = uint16(n.subdirs + 2)
		}
		r.flags = inodeExtents
		if n.indexed {
			r.flags |= inodeIndex
		}
	case ModeRegular:
		r.flags = inodeExtents
	case ModeSymlink:
		if len(n.target) < len(r.block) {
			copy(r.block[:], n.target)
		} else {
			r.flags = inodeExtents
		}
	case ModeChar, ModeBlock:
		r.block = deviceBlock(n.device[0], n.device[1])
	}
	if r.flags&inodeExtents != 0 {
		if n.root != nil {
			r.block = *n.root
		} else {
			r.block, _, _ = extentTree(n.extents, 0, nil)
		}
	}
	blocks := n.metaBlocks
	for _, e := range n.extents {
		blocks += uint64(e.count)
	}
	if n.xattrBlock != 0 {
		blocks++
	}
	if r.sectors = blocks * (BlockSize / 512); r.sectors >= 1<<48 {
		r.sectors = blocks
		r.flags |= inodeHuge
	}
	inline, _, _ := splitXattrs(n.xattrs)
	r.inline = xattrInline(inline)
	return r
}

// writeInodes writes the tables as far as they are used and counts what the descriptors say about them.
func (b *Builder) writeInodes(groups []group, journal *inode) error {
	perGroup := uint32(b.geo.perGroup)
	for i := range groups {
		groups[i].freeInodes, groups[i].unusedInodes = perGroup, perGroup
		groups[i].flags = groupInodeZeroed | groupInodeUninit
	}
	block := make([]byte, BlockSize)
	place, dirty := uint64(0), false
	put := func(n *inode) error {
		g, index := (n.num-1)/perGroup, (n.num-1)%perGroup
		at := groups[g].inodeTable + uint64(index/inodesPerBlock)
		if at != place {
			if dirty {
				if err := b.out.write(place, block); err != nil {
					return err
				}
			}
			clear(block)
			place = at
		}
		dirty = true
		r := b.encode(n)
		r.put(block[index%inodesPerBlock*inodeSize:], b.seed, n.num)
		if n.isDir() {
			groups[g].usedDirs++
		}
		return nil
	}
	if err := put(b.root); err != nil {
		return err
	}
	if b.geo.journal > 0 {
		if err := put(journal); err != nil {
			return err
		}
	}
	for _, n := range b.inodes[1:] {
		if err := put(n); err != nil {
			return err
		}
	}
	used := uint32(firstIno-1) + uint32(b.live)
	for i := 0; used > 0; i++ {
		k := min(used, perGroup)
		groups[i].freeInodes -= k
		groups[i].unusedInodes -= k
		groups[i].flags &^= groupInodeUninit
		used -= k
	}
	return b.out.write(place, block)
}

// writeGroups writes bitmaps, descriptors and the copies of the superblock, and gives the superblock.
func (b *Builder) writeGroups(groups []group, journal *inode) (*super.Superblock, error) {
	perGroup := uint64(b.geo.perGroup)
	bitmap := make([]byte, BlockSize)
	s := b.super(journal)
	for i := range groups {
		g := &groups[i]
		if used := perGroup - uint64(g.freeInodes); used > 0 {
			clear(bitmap)
			setBits(bitmap, 0, used)
			setBits(bitmap, perGroup, maxPerGroup)
			g.inodeCsum = crc(b.seed, bitmap[:perGroup/8])
			if err := b.out.write(g.inodeBitmap, bitmap); err != nil {
				return nil, err
			}
		}
		s.FreeInodes += g.freeInodes
		start := uint64(i) * blocksPerGroup
		if start >= b.alloc.next && i < len(groups)-1 {
			g.flags |= groupBlockUninit
			g.freeBlocks = blocksPerGroup
			if super.Sparse(uint64(i)) {
				g.freeBlocks -= uint32(b.alloc.reserve)
			}
		} else {
			g.freeBlocks = b.alloc.bitmap(bitmap, uint64(i), b.geo.blocks)
			g.blockCsum = crc(b.seed, bitmap)
			if err := b.out.write(g.blockBitmap, bitmap); err != nil {
				return nil, err
			}
		}
		s.FreeBlocks += uint64(g.freeBlocks)
	}
	desc := make([]byte, b.geo.descBlocks*BlockSize)
	for i := range groups {
		groups[i].put(desc[i*descSize:], b.seed, uint32(i))
	}
	if err := b.out.write(1, desc); err != nil {
		return nil, err
	}
	block := make([]byte, BlockSize)
	for i := uint64(1); i < b.geo.groups; i++ {
		if !super.Sparse(i) {
			continue
		}
		s.Group = uint16(i)
		copy(block, s.Encode())
		if err := b.out.write(i*blocksPerGroup, block); err != nil {
			return nil, err
		}
		if err := b.out.write(i*blocksPerGroup+1, desc); err != nil {
			return nil, err
		}
	}
	s.Group = 0
	return s, nil
}

// super is the superblock without its counts of what is free.
func (b *Builder) super(journal *inode) *super.Superblock {
	s := &super.Superblock{
		Inodes: uint32(b.geo.groups * b.geo.perGroup), Blocks: b.geo.blocks,
		LogBlockSize: uint32(bits.TrailingZeros(BlockSize / 1024)), BlocksPerGroup: blocksPerGroup,
		InodesPerGroup: uint32(b.geo.perGroup), LastWrite: b.opt.Time.Unix(), Made: b.opt.Time.Unix(),
		State: stateClean, InodeSize: inodeSize, DescSize: descSize, Revision: 1, FirstInode: firstIno,
		Compat:   super.ExtAttr | super.DirIndex,
		Incompat: super.Filetype | super.Extents | super.Wide | super.FlexBG | super.MetadataCsumSeed,
		ROCompat: super.SparseSuper | super.LargeFile | super.HugeFile | super.DirNlink | super.ExtraIsize |
			super.MetadataCsum,
		UUID: b.opt.UUID, HashSeed: b.opt.HashSeed, DefaultHash: hashHalfMD4, Flags: flagSignedHash,
		ChecksumSeed: b.seed, LogFlex: groupsPerFlex,
		ClustersPerGroup: blocksPerGroup, LogClusterSize: uint32(bits.TrailingZeros(BlockSize / 1024)), // as blocks
		MaxMounts: 0xFFFF, // no forced check by the number of mounts
		LastCheck: b.opt.Time.Unix(), ErrorPolicy: errorsRemountRO, MountOptions: mountXattrACL,
		MinExtra: inodeExtra, WantExtra: inodeExtra, JournalBackup: journalBackup, ChecksumType: checksumCRC32C,
	}
	copy(s.Label[:], b.opt.Label)
	if b.geo.journal > 0 {
		s.Compat |= super.HasJournal
		s.JournalInode = journalIno
		r := b.encode(journal)
		for i := range 15 {
			s.JournalBlocks[i] = le.Uint32(r.block[4*i:])
		}
		s.JournalBlocks[15] = uint32(r.size >> 32)
		s.JournalBlocks[16] = uint32(r.size)
	}
	return s
}

// punch makes holes of what replaced files left behind.
func (b *Builder) punch() error {
	if !b.dropped {
		return nil
	}
	for _, r := range b.alloc.free {
		at, n := int64(r.start)*BlockSize, int64(r.count)*BlockSize
		err := unix.Fallocate(int(b.file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, at, n)
		if err == nil {
			continue
		}
		if err := b.zero(at, n); err != nil {
			return err
		}
	}
	return nil
}

// zero is for file systems that can't punch holes.
func (b *Builder) zero(at, n int64) error {
	buf := make([]byte, min(n, streamBuffer))
	for n > 0 {
		k := min(n, int64(len(buf)))
		if _, err := b.file.WriteAt(buf[:k], at); err != nil {
			return err
		}
		at, n = at+k, n-k
	}
	return nil
}
