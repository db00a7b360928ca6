// Package check says whether an ext4 file system is sound, without a kernel and without writing: every checksum holds, every
// block and inode in use belongs to exactly who says so, every name leads to what it says, and all counts are right. It
// answers as e2fsck -fn does; where not, its test names the case. A hostile image costs no more than its size.
package check

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/format"
	"microagent/runtime/disk/ext4/read"
	"microagent/runtime/disk/ext4/super"
)

const (
	// most is how many findings are told.
	most = 20
	// largest is how many blocks a file system may have: a bit for each is kept.
	largest = 1 << 32
	// doubleBlock is which of the 15 numbers of an inode's block map has two levels below it: all that inode 7 has.
	doubleBlock = 13
)

// Check gives what is wrong with the file system of an image of size bytes, the first few findings in words; none for one that
// is sound. The journal is looked through, and not replayed. The error is ErrUnsupported for what can't be judged, or r's.
func Check(r io.ReaderAt, size int64) ([]string, error) {
	c := &checker{}
	f, err := read.OpenReplayed(r, size)
	if err != nil {
		return c.list, c.note("", err)
	}
	if f.Super.Blocks > largest || f.Super.ROCompat&(super.Bigalloc|super.Quota|super.Project) != 0 || f.Super.Incompat&(super.XattrInode|super.InlineData|super.Encrypt|super.Casefold) != 0 {
		return nil, format.Unsupportedf("features that are not checked: %v %v", f.Super.Incompat, f.Super.ROCompat)
	}
	if f.Super.LastOrphan != 0 || f.Super.ROCompat&super.OrphanPresent != 0 {
		c.find("files were deleted while they were open, and the next mount ends that")
		return c.list, nil
	}
	c.f = f
	c.used = make([]byte, (f.Super.Blocks+7)/8)
	c.shared = map[uint64]int{}
	for _, part := range []func() error{c.groups, c.scan, c.names, c.tree, c.bitmaps} {
		if err := part(); err != nil {
			return c.list, err
		}
	}
	return c.list, nil
}

// checker holds what is known of a file system so far.
type checker struct {
	f       *read.FS
	list    []string
	used    []byte         // a bit for each block
	inodes  []inode        // in the order of their numbers
	shared  map[uint64]int // blocks of extended attributes, by how many inodes have them
	byGroup []format.Group
	broken  []bool // of groups, whose descriptor says nothing
}

// inode is one in use: of so many that there may be, no more than is needed of each.
type inode struct {
	number uint32
	mode   uint32
	links  uint32
	names  uint32 // that lead to it
	parent uint32 // of a directory: that its ".." leads to
	above  uint32 // the directory that has its name
	subs   uint32 // directories in it
}

func (n *inode) isDir() bool { return n.mode&ext4.ModeType == ext4.ModeDir }

// inUse is an inode in use, nil for another.
func (c *checker) inUse(number uint32) *inode {
	i, found := slices.BinarySearchFunc(c.inodes, number, func(n inode, number uint32) int { return cmp.Compare(n.number, number) })
	if !found {
		return nil
	}
	return &c.inodes[i]
}

func (c *checker) find(text string, args ...any) {
	if len(c.list) < most {
		c.list = append(c.list, fmt.Sprintf(text, args...))
	}
}

// note takes damage for a finding; any other error is given back.
func (c *checker) note(what string, err error) error {
	if err == nil || !errors.Is(err, ext4.ErrCorrupt) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	if what != "" {
		what += ": "
	}
	c.find("%s%v", what, err)
	return nil
}

// take marks blocks as used by who; those that are used already are told.
func (c *checker) take(start, count uint64, who string) {
	for n := start; n < start+count; n++ {
		if n >= c.f.Super.Blocks {
			c.find("%s has block %d, and there are %d", who, n, c.f.Super.Blocks)
			return
		}
		if c.used[n/8]&(1<<(n%8)) != 0 {
			c.find("block %d is used twice, by %s the second time", n, who)
			continue
		}
		c.used[n/8] |= 1 << (n % 8)
	}
}

// groups reads the descriptors, and takes what groups need for themselves.
func (c *checker) groups() error {
	f := c.f
	c.byGroup, c.broken = make([]format.Group, f.Groups), make([]bool, f.Groups)
	for g := range f.Groups {
		d, err := f.Group(g)
		if c.broken[g] = err != nil; c.broken[g] {
			if err := c.note("", err); err != nil {
				return err
			}
			continue
		}
		c.byGroup[g] = d
		first, _ := f.GroupBlocks(g)
		c.take(first, f.BaseBlocks(g), "a copy of the superblock")
		c.take(d.BlockBitmap, 1, "a bitmap")
		c.take(d.InodeBitmap, 1, "a bitmap")
		c.take(d.InodeTable, f.TableBlocks(), "an inode table")
	}
	if f.Super.Incompat&super.MMP != 0 {
		c.take(f.Super.MMPBlock, 1, "the sign of life of who mounted it")
	}
	return nil
}

// scan goes through the inode tables.
func (c *checker) scan() error {
	f := c.f
	for g := range f.Groups {
		if c.broken[g] {
			continue
		}
		d := c.byGroup[g]
		bits, err := f.InodeBitmap(g, d)
		if err != nil {
			if err := c.note("", err); err != nil {
				return err
			}
			continue
		}
		per := f.Super.InodesPerGroup
		unused := min(d.UnusedInodes, per)
		if d.Flags&format.GroupInodeUninit != 0 {
			unused = per
		}
		free, dirs := uint32(0), uint32(0)
		for i := range per {
			number := uint32(g)*per + i + 1
			set := bits[i/8]&(1<<(i%8)) != 0
			if !set {
				free++
			}
			isDir, err := c.inode(number, set, i >= per-unused)
			if err != nil {
				return err
			}
			if isDir {
				dirs++
			}
		}
		if free != d.FreeInodes {
			c.find("group %d has %d free inodes, and says %d", g, free, d.FreeInodes)
		}
		if dirs != d.UsedDirs {
			c.find("group %d has %d directories, and says %d", g, dirs, d.UsedDirs)
		}
	}
	return nil
}

// inode looks at one record; set is what the bitmap says of it, untouched that it was never written.
func (c *checker) inode(number uint32, set, untouched bool) (isDir bool, err error) {
	f := c.f
	reserved := number < f.Super.FirstInode && number != format.RootIno && (number != format.JournalIno || f.Super.Compat&super.HasJournal == 0)
	if untouched {
		if set {
			c.find("inode %d is in use, and was never written", number)
		}
		return false, nil
	}
	at, err := f.RecordAt(number)
	if err != nil {
		return false, c.note("", err)
	}
	b := make([]byte, f.Super.InodeSize)
	if err := format.ReadFull(f.R, b, at); err != nil {
		return false, c.note("", err)
	}
	r := format.ParseRecord(b)
	if r.Links == 0 {
		if set && !reserved {
			c.find("inode %d is marked as in use, and has no name", number)
		}
		// One that was never used is zero, and has no checksum. As e2fsck has it, what lies behind 128 bytes says nothing there.
		if reserved && f.Csums() && !bytes.Equal(b[:128], make([]byte, 128)) && !format.InodeBytes(b).CsumOK(f.Seed, number) {
			c.find("checksum of inode %d", number)
		}
		return false, nil
	}
	if !set {
		c.find("inode %d is in use, and not marked as such", number)
	}
	if reserved {
		if f.Csums() && !format.InodeBytes(b).CsumOK(f.Seed, number) {
			c.find("checksum of inode %d", number)
		}
		if at := uint64(format.LE.Uint32(r.Block[4*doubleBlock:])); number == format.ResizeIno && f.Super.Compat&super.ResizeInode != 0 && at != 0 {
			c.take(at, 1, "inode 7") // what it leads to is the groups'
		}
		return false, nil
	}
	n, err := f.Inode(number)
	if err != nil {
		return false, c.note("", err)
	}
	c.inodes = append(c.inodes, inode{number: number, mode: n.Mode, links: uint32(n.Links)})
	return n.IsDir(), c.content(n)
}

// content takes the blocks of an inode, and holds its size and its count of blocks to them.
func (c *checker) content(n read.Inode) error {
	f := c.f
	who := fmt.Sprintf("inode %d", n.Number)
	blocks := uint64(0)
	if at := n.Rec.XattrBlock; at != 0 {
		blocks++
		if c.shared[at]++; c.shared[at] == 1 {
			c.take(at, 1, who)
		}
		if _, err := f.Xattrs(n); err != nil {
			return c.note(who, err)
		}
	} else if _, err := f.Xattrs(n); err != nil {
		return c.note(who, err)
	}
	short := n.IsSymlink() && n.Rec.Flags&format.InodeExtents == 0 && n.Size < int64(len(n.Rec.Block))
	if !short && (n.IsRegular() || n.IsDir() || n.IsSymlink()) {
		list, nodes, err := f.Map(n)
		if err != nil {
			return c.note(who, err)
		}
		for _, at := range nodes {
			c.take(at, 1, who)
		}
		blocks += uint64(len(nodes))
		end := int64(0)
		for _, e := range list {
			c.take(uint64(e.Physical/f.BlockSize), uint64(e.Length/f.BlockSize), who)
			blocks += uint64(e.Length / f.BlockSize)
			if !e.Unwritten {
				end = e.Logical + e.Length
			}
		}
		if n.IsDir() && end != n.Size || n.IsRegular() && n.Size <= end-f.BlockSize {
			c.find("%s has a size of %d, and content up to %d", who, n.Size, end)
		}
	}
	unit := uint64(f.BlockSize / 512)
	if n.Rec.Flags&format.InodeHuge != 0 {
		unit = 1
	}
	if n.Rec.Sectors != blocks*unit {
		c.find("%s has %d blocks, and says %d", who, blocks*unit, n.Rec.Sectors)
	}
	return nil
}
