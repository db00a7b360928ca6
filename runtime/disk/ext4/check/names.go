package check

import (
	"fmt"
	"maps"
	"slices"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/format"
	"microagent/runtime/disk/ext4/read"
	"microagent/runtime/disk/ext4/super"
)

// names goes through every directory.
func (c *checker) names() error {
	for i := range c.inodes {
		if dir := &c.inodes[i]; dir.isDir() {
			if err := c.directory(dir); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *checker) directory(dir *inode) error {
	who := fmt.Sprintf("directory inode %d", dir.number)
	whole, err := c.f.Inode(dir.number)
	if err != nil {
		return c.note(who, err)
	}
	if err := c.dots(dir, whole, who); err != nil {
		return err
	}
	seen := map[string]bool{}
	for e, err := range c.f.Entries(whole) {
		if err != nil {
			return c.note(who, err)
		}
		if seen[e.Name] {
			c.find("%s has %q twice", who, e.Name)
		}
		seen[e.Name] = true
		child := c.inUse(e.Inode)
		if child == nil {
			c.find("%s has %q, which leads to inode %d, and that is not in use", who, e.Name, e.Inode)
			continue
		}
		if e.Inode < c.f.Super.FirstInode {
			c.find("%s has %q, which leads to the reserved inode %d", who, e.Name, e.Inode)
		}
		if e.Type != 0 && e.Type != child.mode&ext4.ModeType {
			c.find("%s has %q as another kind of file than it is", who, e.Name)
		}
		child.names++
		if !child.isDir() {
			continue
		}
		dir.subs++
		if child.above != 0 {
			c.find("directory inode %d has two names", e.Inode)
		}
		child.above = dir.number
	}
	return c.index(whole, who)
}

// dots reads the first two entries, of the directory itself and of the one above it.
func (c *checker) dots(dir *inode, whole read.Inode, who string) error {
	file, err := c.f.File(whole)
	if err != nil {
		return c.note(who, err)
	}
	b := make([]byte, 24)
	if err := format.ReadFull(file, b, 0); err != nil {
		return c.note(who, err)
	}
	if format.LE.Uint32(b) != dir.number || b[6] != 1 || b[8] != '.' || format.LE.Uint16(b[4:]) != 12 || b[18] != 2 || b[20] != '.' || b[21] != '.' {
		c.find("%s does not begin with itself and the one above it", who)
		return nil
	}
	dir.parent = format.LE.Uint32(b[12:])
	return nil
}

// tree holds counts of links to what was found, and every directory to the one that it lies in.
func (c *checker) tree() error {
	root := c.inUse(format.RootIno)
	if root == nil || !root.isDir() {
		c.find("there is no root directory")
		return nil
	}
	root.above = format.RootIno
	for i := range c.inodes {
		n := &c.inodes[i]
		switch number := n.number; {
		case number == format.JournalIno, number == c.f.Super.OrphanInode && c.f.Super.Compat&super.OrphanFile != 0:
		case n.isDir():
			if n.above == 0 {
				c.find("directory inode %d has no name", number)
			} else if n.parent != n.above {
				c.find("directory inode %d lies in %d, and says %d", number, n.above, n.parent)
			}
			if n.links != 2+n.subs && n.links != 1 {
				c.find("directory inode %d has %d links, and says %d", number, 2+n.subs, n.links)
			}
		case n.names == 0:
			c.find("inode %d has no name", number)
		case n.names != n.links:
			c.find("inode %d has %d links, and says %d", number, n.names, n.links)
		}
	}
	c.reachable(root)
	return c.attributes()
}

// reachable finds circles of directories, which no name of the root leads to.
func (c *checker) reachable(root *inode) {
	sure := map[uint32]bool{root.number: true}
	for i := range c.inodes {
		n := &c.inodes[i]
		if !n.isDir() {
			continue
		}
		var way []uint32
		for on := map[uint32]bool{}; n != nil && !sure[n.number]; n = c.inUse(n.above) {
			if on[n.number] {
				c.find("directory inode %d lies in itself", n.number)
				break
			}
			on[n.number] = true
			way = append(way, n.number)
		}
		for _, w := range way {
			sure[w] = true
		}
	}
}

// attributes holds the counts of who shares blocks of extended attributes.
func (c *checker) attributes() error {
	for _, at := range slices.Sorted(maps.Keys(c.shared)) {
		b, err := c.f.Block(at)
		if err != nil {
			return c.note("", err)
		}
		if n := format.LE.Uint32(b[4:]); n != uint32(c.shared[at]) {
			c.find("the extended attributes in block %d are of %d inodes, and say %d", at, c.shared[at], n)
		}
	}
	return nil
}

// bitmaps compares the blocks in use with what groups say of them. The superblock's own counts don't matter: every mount, and
// e2fsck without a word of error, takes them from the groups.
func (c *checker) bitmaps() error {
	f := c.f
	for g := range f.Groups {
		if c.broken[g] {
			continue
		}
		d := c.byGroup[g]
		bits, err := f.BlockBitmap(g, d)
		if err != nil {
			if err := c.note("", err); err != nil {
				return err
			}
			continue
		}
		first, count := f.GroupBlocks(g)
		free, wrong := uint32(0), 0
		for i := range count {
			n := first + uint64(i)
			if c.used[n/8]&(1<<(n%8)) == 0 {
				free++
			}
			if (c.used[n/8]&(1<<(n%8)) != 0) != (bits[i/8]&(1<<(i%8)) != 0) {
				wrong++
			}
		}
		if wrong > 0 {
			c.find("group %d has %d blocks that are used and not marked as such, or marked and not used", g, wrong)
		}
		if free != d.FreeBlocks {
			c.find("group %d has %d free blocks, and says %d", g, free, d.FreeBlocks)
		}
	}
	return nil
}
