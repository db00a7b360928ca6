package build

import (
	"math/bits"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/format"
	"microagent/runtime/disk/ext4/super"
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
	journal := &inode{num: format.JournalIno, mode: ext4.ModeRegular | 0o600, links: 1, mtime: format.StampOf(b.opt.Time), extents: b.journal, special: plain,
		size: int64(b.geo.journal) * ext4.BlockSize}
	if b.geo.journal > 0 {
		if err := b.finishInode(journal); err != nil {
			return Summary{}, err
		}
		if err := b.out.write(b.journal[0].Phys, format.JournalSuper(uint32(b.geo.journal), b.opt.UUID)); err != nil {
			return Summary{}, err
		}
	}
	t, err := b.geo.settle(&b.alloc, b.live, b.opt)
	if err != nil {
		return Summary{}, err
	}
	groups := make([]format.Group, b.geo.groups)
	for i := range groups {
		groups[i] = format.Group{BlockBitmap: t.blockBitmap[i], InodeBitmap: t.inodeBitmap[i], InodeTable: t.inodeTable[i]}
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
	size := int64(b.geo.blocks) * ext4.BlockSize
	if b.opt.Size > 0 {
		size = b.opt.Size
	}
	if err := b.file.Truncate(size); err != nil {
		return Summary{}, err
	}
	if _, err := b.file.WriteAt(s.Encode(), super.Offset); err != nil {
		return Summary{}, err
	}
	return Summary{Size: size, Entries: int(b.live), Free: int64(s.FreeBlocks) * ext4.BlockSize}, nil
}

// number drops dead inodes, puts the root first and numbers all in the order they were made.
func (b *Builder) number() {
	list := make([]*inode, 1, b.live+1)
	list[0] = b.root
	for _, n := range b.inodes {
		if n.links > 0 {
			n.num = uint32(format.FirstIno + len(list) - 1)
			list = append(list, n)
		}
	}
	b.inodes = list
}

// finishInode writes the blocks of metadata that belong to one inode.
func (b *Builder) finishInode(n *inode) error {
	if n.isDir() {
		blocks, indexed, err := encodeDirectory(n, b.seed, &b.hash)
		if err != nil {
			return err
		}
		n.indexed = indexed
		n.size = int64(len(blocks)) * ext4.BlockSize
		for i := 0; i < len(blocks); {
			r := b.alloc.take(uint64(len(blocks) - i))
			n.extents = format.AppendBlocks(n.extents, uint32(i), r.Start, uint32(r.Count))
			for k := range r.Count {
				if err := b.out.write(r.Start+k, blocks[i]); err != nil {
					return err
				}
				i++
			}
		}
	}
	if len(n.extents) > format.ExtentsInline {
		root, count, err := format.ExtentTree(n.extents, format.InodeSeed(b.seed, n.num, 0), func(node []byte) (uint64, error) {
			at := b.alloc.take(1).Start
			return at, b.out.write(at, node)
		})
		if err != nil {
			return err
		}
		n.own().root, n.own().metaBlocks = &root, count
	}
	_, block, err := format.SplitXattrs(n.xattrs)
	if err != nil || len(block) == 0 {
		return err
	}
	n.own().xattrBlock = b.alloc.take(1).Start
	return b.out.write(n.xattrBlock, format.XattrBlock(block, b.seed, n.xattrBlock))
}

// encode is the inode's record.
func (b *Builder) encode(n *inode) format.Record {
	r := format.Record{
		Mode: n.mode, Uid: n.uid, Gid: n.gid, Size: uint64(n.size), Links: uint16(min(n.links, format.MaxLinks)),
		Atime: n.mtime, Ctime: n.mtime, Mtime: n.mtime, Btime: n.mtime, Extra: format.InodeExtra, XattrBlock: n.xattrBlock,
	}
	switch n.mode & ext4.ModeType {
	case ext4.ModeDir:
		r.Links = 1
		if n.subdirs+2 <= format.MaxLinks {
			r.Links = uint16(n.subdirs + 2)
		}
		r.Flags = format.InodeExtents
		if n.indexed {
			r.Flags |= format.InodeIndex
		}
	case ext4.ModeRegular:
		r.Flags = format.InodeExtents
	case ext4.ModeSymlink:
		if len(n.target) < len(r.Block) {
			copy(r.Block[:], n.target)
		} else {
			r.Flags = format.InodeExtents
		}
	case ext4.ModeChar, ext4.ModeBlock:
		r.Block = format.DeviceBlock(n.device[0], n.device[1])
	}
	if r.Flags&format.InodeExtents != 0 {
		if n.root != nil {
			r.Block = *n.root
		} else {
			r.Block, _, _ = format.ExtentTree(n.extents, 0, nil)
		}
	}
	blocks := n.metaBlocks
	for _, e := range n.extents {
		blocks += uint64(e.Count)
	}
	if n.xattrBlock != 0 {
		blocks++
	}
	if r.Sectors = blocks * (ext4.BlockSize / 512); r.Sectors >= 1<<48 {
		r.Sectors = blocks
		r.Flags |= format.InodeHuge
	}
	inline, _, _ := format.SplitXattrs(n.xattrs)
	r.Inline = format.XattrInline(inline)
	return r
}

// writeInodes writes the tables as far as they are used and counts what the descriptors say about them.
func (b *Builder) writeInodes(groups []format.Group, journal *inode) error {
	perGroup := uint32(b.geo.perGroup)
	for i := range groups {
		groups[i].FreeInodes, groups[i].UnusedInodes = perGroup, perGroup
		groups[i].Flags = format.GroupInodeZeroed | format.GroupInodeUninit
	}
	block := make([]byte, ext4.BlockSize)
	place, dirty := uint64(0), false
	put := func(n *inode) error {
		g, index := (n.num-1)/perGroup, (n.num-1)%perGroup
		at := groups[g].InodeTable + uint64(index/format.InodesPerBlock)
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
		r.Put(block[index%format.InodesPerBlock*format.InodeSize:], b.seed, n.num)
		if n.isDir() {
			groups[g].UsedDirs++
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
	used := uint32(format.FirstIno-1) + uint32(b.live)
	for i := 0; used > 0; i++ {
		k := min(used, perGroup)
		groups[i].FreeInodes -= k
		groups[i].UnusedInodes -= k
		groups[i].Flags &^= format.GroupInodeUninit
		used -= k
	}
	return b.out.write(place, block)
}

// writeGroups writes bitmaps, descriptors and the copies of the superblock, and gives the superblock.
func (b *Builder) writeGroups(groups []format.Group, journal *inode) (*super.Superblock, error) {
	perGroup := uint64(b.geo.perGroup)
	bitmap := make([]byte, ext4.BlockSize)
	s := b.super(journal)
	for i := range groups {
		g := &groups[i]
		if used := perGroup - uint64(g.FreeInodes); used > 0 {
			clear(bitmap)
			format.SetBits(bitmap, 0, used)
			format.SetBits(bitmap, perGroup, format.MaxPerGroup)
			g.InodeCsum = format.CRC(b.seed, bitmap[:perGroup/8])
			if err := b.out.write(g.InodeBitmap, bitmap); err != nil {
				return nil, err
			}
		}
		s.FreeInodes += g.FreeInodes
		start := uint64(i) * format.BlocksPerGroup
		if start >= b.alloc.next && i < len(groups)-1 {
			g.Flags |= format.GroupBlockUninit
			g.FreeBlocks = format.BlocksPerGroup
			if super.Sparse(uint64(i)) {
				g.FreeBlocks -= uint32(b.alloc.reserve)
			}
		} else {
			g.FreeBlocks = b.alloc.bitmap(bitmap, uint64(i), b.geo.blocks)
			g.BlockCsum = format.CRC(b.seed, bitmap)
			if err := b.out.write(g.BlockBitmap, bitmap); err != nil {
				return nil, err
			}
		}
		s.FreeBlocks += uint64(g.FreeBlocks)
	}
	desc := make([]byte, b.geo.descBlocks*ext4.BlockSize)
	for i := range groups {
		groups[i].Put(desc[i*format.DescSize:], b.seed, uint32(i))
	}
	if err := b.out.write(1, desc); err != nil {
		return nil, err
	}
	block := make([]byte, ext4.BlockSize)
	for i := uint64(1); i < b.geo.groups; i++ {
		if !super.Sparse(i) {
			continue
		}
		s.Group = uint16(i)
		copy(block, s.Encode())
		if err := b.out.write(i*format.BlocksPerGroup, block); err != nil {
			return nil, err
		}
		if err := b.out.write(i*format.BlocksPerGroup+1, desc); err != nil {
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
		LogBlockSize: uint32(bits.TrailingZeros(ext4.BlockSize / 1024)), BlocksPerGroup: format.BlocksPerGroup,
		InodesPerGroup: uint32(b.geo.perGroup), LastWrite: b.opt.Time.Unix(), Made: b.opt.Time.Unix(),
		State: format.StateClean, InodeSize: format.InodeSize, DescSize: format.DescSize, Revision: 1, FirstInode: format.FirstIno,
		Compat:   super.ExtAttr | super.DirIndex,
		Incompat: super.Filetype | super.Extents | super.Wide | super.FlexBG | super.MetadataCsumSeed,
		ROCompat: super.SparseSuper | super.LargeFile | super.HugeFile | super.DirNlink | super.ExtraIsize |
			super.MetadataCsum,
		UUID: b.opt.UUID, HashSeed: b.opt.HashSeed, DefaultHash: format.HashHalfMD4, Flags: format.FlagSignedHash,
		ChecksumSeed: b.seed, LogFlex: format.GroupsPerFlex,
		ClustersPerGroup: format.BlocksPerGroup, LogClusterSize: uint32(bits.TrailingZeros(ext4.BlockSize / 1024)), // as blocks
		MaxMounts: 0xFFFF, // no forced check by the number of mounts
		LastCheck: b.opt.Time.Unix(), ErrorPolicy: format.ErrorsRemountRO, MountOptions: format.MountXattrACL,
		MinExtra: format.InodeExtra, WantExtra: format.InodeExtra, JournalBackup: format.JournalBackup, ChecksumType: format.ChecksumCRC32C,
	}
	copy(s.Label[:], b.opt.Label)
	if b.geo.journal > 0 {
		s.Compat |= super.HasJournal
		s.JournalInode = format.JournalIno
		r := b.encode(journal)
		for i := range 15 {
			s.JournalBlocks[i] = format.LE.Uint32(r.Block[4*i:])
		}
		s.JournalBlocks[15] = uint32(r.Size >> 32)
		s.JournalBlocks[16] = uint32(r.Size)
	}
	return s
}

// punch gives back what replaced files left behind.
func (b *Builder) punch() error {
	if !b.dropped {
		return nil
	}
	file, can := b.file.(interface{ Discard(at, n int64) error })
	for _, r := range b.alloc.free {
		at, n := int64(r.Start)*ext4.BlockSize, int64(r.Count)*ext4.BlockSize
		if can && file.Discard(at, n) == nil {
			continue
		}
		if err := b.zero(at, n); err != nil {
			return err
		}
	}
	return nil
}

// zero is for what can't be given back.
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
