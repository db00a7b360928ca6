package check

import (
	"microagent/runtime/disk/ext4/format"
	"microagent/runtime/disk/ext4/read"
	"microagent/runtime/disk/ext4/super"
)

// index holds the index of a directory to the blocks of names that it leads to.
type index struct {
	c    *checker
	dir  read.Inode
	who  string
	file *read.File
	seen map[uint32]bool // blocks that it has led to
	// hash is nil where the index is ordered by legacy or TEA, which mke2fs makes for who asks: then only its shape counts.
	hash func(name string) uint32
}

// index looks at what finds a name in a large directory: a name that lies where its hash does not lead to is there for who
// lists the directory, and nowhere for who asks for it.
func (c *checker) index(dir read.Inode, who string) error {
	if dir.Rec.Flags&format.InodeIndex == 0 {
		return nil
	}
	if c.f.Super.Compat&super.DirIndex == 0 {
		c.find("%s has an index, and the file system has none", who)
		return nil
	}
	file, err := c.f.File(dir)
	if err != nil {
		return c.note(who, err)
	}
	x := &index{c: c, dir: dir, who: who, file: file, seen: map[uint32]bool{0: true}}
	b, err := x.block(0)
	if err != nil {
		return c.note(who, err)
	}
	levels := int(b[format.IndexLevels])
	most := 1
	if c.f.Super.Incompat&super.LargeDir != 0 {
		most = 2
	}
	version := b[format.IndexHash]
	if format.LE.Uint32(b[format.IndexHash-4:]) != 0 || b[format.IndexInfo] != format.IndexInfoSize || b[format.IndexFlags]&1 != 0 || levels > most || version > format.HashTEA {
		c.find("%s has an index that does not begin as one", who)
		return nil
	}
	if version == format.HashHalfMD4 {
		x.hash = c.nameHash()
	}
	if err := x.node(b, format.IndexRoot, levels, 0, 1<<32-1); err != nil {
		return c.note(who, err)
	}
	if n := dir.Size / c.f.BlockSize; int64(len(x.seen)) != n {
		c.find("%s has %d blocks, and its index leads to %d", who, n, len(x.seen))
	}
	return nil
}

// nameHash is the hash that indexes of this file system are ordered by.
func (c *checker) nameHash() func(name string) uint32 {
	var seed [4]uint32
	for i := range seed {
		seed[i] = format.LE.Uint32(c.f.Super.HashSeed[4*i:])
	}
	if c.f.Super.Flags&format.FlagUnsignedHash != 0 {
		return func(name string) uint32 { return format.UnsignedNameHash(name, &seed) }
	}
	return func(name string) uint32 {
		major, _ := format.NameHash(name, &seed)
		return major
	}
}

func (x *index) block(n uint32) ([]byte, error) {
	b := make([]byte, x.c.f.BlockSize)
	return b, format.ReadFull(x.file, b, int64(n)*x.c.f.BlockSize)
}

// node goes through a node that names with hashes from low to high are below, with levels of nodes below it.
func (x *index) node(b []byte, base, levels int, low, high uint32) error {
	pairs := format.IndexPairs(b[base:])
	limit, count := pairs.Limit(), pairs.Count()
	if limit != format.IndexLimit(len(b), base, x.c.f.Csums()) || count == 0 || count > limit {
		x.c.find("%s has a node of its index with %d of %d pairs", x.who, count, limit)
		return nil
	}
	for i := range count {
		from, to := low, high
		if i > 0 {
			from = pairs.Hash(i)
		}
		if i+1 < count {
			to = pairs.Hash(i + 1)
		}
		child := pairs.Child(i)
		switch {
		case from < low || to > high || from > to:
			x.c.find("%s has an index whose hashes are out of order", x.who)
			return nil
		case child == 0 || int64(child) >= x.dir.Size/x.c.f.BlockSize:
			x.c.find("%s has an index that leads to its block %d", x.who, child)
			return nil
		case x.seen[child]:
			x.c.find("%s has an index that leads to its block %d twice", x.who, child)
			return nil
		}
		x.seen[child] = true
		below, err := x.block(child)
		if err != nil {
			return err
		}
		if levels > 0 {
			err = x.node(below, format.IndexNode, levels-1, from, to)
		} else {
			err = x.leaf(below, from, to)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// leaf goes through names with hashes from low to high, without the bit that says that a hash goes on in the next block.
func (x *index) leaf(b []byte, low, high uint32) error {
	if x.hash == nil {
		return nil
	}
	_, err := x.c.f.BlockEntries(x.dir.Number, b, func(e read.DirEntry) bool {
		if hash := x.hash(e.Name); hash < low&^1 || hash > high&^1 {
			x.c.find("%s has %q where a lookup does not find it", x.who, e.Name)
			return false
		}
		return true
	})
	return err
}
