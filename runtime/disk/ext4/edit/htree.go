package edit

import (
	"sort"

	"microagent/runtime/disk/ext4/format"
)

// indexNode is a node of a directory's index: pairs of hash and block behind a head.
type indexNode struct {
	block uint32 // of the directory
	b     []byte
	base  int // where the pairs begin
	pos   int // the pair that the way goes through
}

func (n *indexNode) pairs() format.IndexPairs { return n.b[n.base:] }
func (n *indexNode) limit() int               { return n.pairs().Limit() }
func (n *indexNode) count() int               { return n.pairs().Count() }
func (n *indexNode) hash(i int) uint32        { return n.pairs().Hash(i) }
func (n *indexNode) child(i int) uint32       { return n.pairs().Child(i) }

func (n *indexNode) set(i int, hash, child uint32) {
	if i > 0 {
		format.LE.PutUint32(n.b[n.base+format.IndexPair*i:], hash)
	}
	format.LE.PutUint32(n.b[n.base+format.IndexPair*i+4:], child)
}

func (n *indexNode) setCount(count int) {
	format.LE.PutUint16(n.b[n.base+format.IndexCount:], uint16(count))
}

func (n *indexNode) setLimit(limit int) { format.LE.PutUint16(n.b[n.base:], uint16(limit)) }

// take gives a new node the pairs of another from one on.
func (n *indexNode) take(other *indexNode, from int) {
	pairs := other.b[other.base+format.IndexPair*from : other.base+format.IndexPair*other.count()]
	copy(n.b[n.base+4:], pairs[4:]) // where the first one's hash was are limit and count
	n.setCount(other.count() - from)
}

func (n *indexNode) full() bool { return n.count() == n.limit() }

// insert puts a pair behind the one that the way goes through.
func (n *indexNode) insert(hash, child uint32) {
	count := n.count()
	from := n.b[n.base+format.IndexPair*(n.pos+1) : n.base+format.IndexPair*count]
	copy(n.b[n.base+format.IndexPair*(n.pos+2):], from)
	n.set(n.pos+1, hash, child)
	n.setCount(count + 1)
}

// indexLimit is how many pairs a node holds whose pairs begin at base.
func (d *directory) indexLimit(base int) int {
	return format.IndexLimit(int(d.e.BlockSize), base, d.e.Csums())
}

func (d *directory) sealIndex(n *indexNode) {
	if !d.e.Csums() {
		return
	}
	tail := n.b[n.base+format.IndexPair*n.limit():]
	c := format.CRC(format.CRC(d.own, n.b[:n.base+format.IndexPair*n.count()]), tail[:4])
	format.LE.PutUint32(tail[4:], format.CRC(c, make([]byte, 4)))
}

// node reads a node and finds the way that a hash takes.
func (d *directory) node(logical uint32, base int, hash uint32) (*indexNode, error) {
	b, err := d.read(logical)
	if err != nil {
		return nil, err
	}
	n := &indexNode{block: logical, b: b, base: base}
	if n.limit() != d.indexLimit(base) || n.count() == 0 || n.count() > n.limit() {
		return nil, format.Corruptf("index of directory inode %d", d.inode.Number)
	}
	n.pos = sort.Search(n.count()-1, func(i int) bool { return n.hash(i+1) > hash })
	return n, nil
}

// descend goes from the index's root to the leaf for a name.
func (d *directory) descend(name string) (nodes []*indexNode, leaf, hash uint32, err error) {
	b, err := d.read(0)
	if err != nil {
		return nil, 0, 0, err
	}
	version, length, levels, flags := b[format.IndexHash], b[format.IndexInfo], int(b[format.IndexLevels]), b[format.IndexFlags]
	if length != format.IndexInfoSize || flags&1 != 0 || levels > 3 {
		return nil, 0, 0, format.Corruptf("index of directory inode %d", d.inode.Number)
	}
	d.unsigned = version == format.HashHalfMD4Unsigned || d.e.Super.Flags&format.FlagUnsignedHash != 0
	if version != format.HashHalfMD4 && version != format.HashHalfMD4Unsigned || levels > 1 {
		return nil, 0, 0, format.Unsupportedf("index of directory inode %d with hash %d and %d levels", d.inode.Number, version, levels)
	}
	hash = d.hash(name)
	next, base := uint32(0), format.IndexRoot
	for range levels + 1 {
		n, err := d.node(next, base, hash)
		if err != nil {
			return nil, 0, 0, err
		}
		nodes = append(nodes, n)
		next, base = n.child(n.pos), format.IndexNode
		if next == 0 || int64(next) >= int64(len(d.blocks)) {
			return nil, 0, 0, format.Corruptf("index of directory inode %d", d.inode.Number)
		}
	}
	return nodes, next, hash, nil
}

// leafOf is the block where a name is; more says that it can be in other blocks as well.
func (d *directory) leafOf(name string) (leaf uint32, more bool, err error) {
	nodes, leaf, _, err := d.descend(name)
	if err != nil {
		return 0, false, err
	}
	last := nodes[len(nodes)-1]
	if last.pos+1 < last.count() {
		return leaf, last.hash(last.pos+1)&1 != 0, nil
	}
	return leaf, len(nodes) > 1, nil
}

// hash is the directory hash of a name.
func (d *directory) hash(name string) uint32 {
	var seed [4]uint32
	for i := range seed {
		seed[i] = format.LE.Uint32(d.e.Super.HashSeed[4*i:])
	}
	if !d.unsigned {
		major, _ := format.NameHash(name, &seed)
		return major
	}
	return format.UnsignedNameHash(name, &seed)
}

// editNode makes a node's bytes those of the transaction.
func (d *directory) editNode(n *indexNode) (err error) {
	n.b, err = d.edit(n.block)
	return err
}

// insertIndexed adds a name to its leaf, and splits what is full.
func (d *directory) insertIndexed(name string, number uint32, kind uint8) error {
	nodes, leaf, hash, err := d.descend(name)
	if err != nil {
		return err
	}
	b, err := d.read(leaf)
	if err != nil {
		return err
	}
	ok, err := d.add(b, name, number, kind)
	if err != nil {
		return err
	}
	if ok {
		if b, err = d.edit(leaf); err != nil {
			return err
		}
		if _, err = d.add(b, name, number, kind); err != nil {
			return err
		}
		d.seal(b)
		return nil
	}
	for _, n := range nodes {
		if err := d.editNode(n); err != nil {
			return err
		}
	}
	parent, err := d.makeRoom(nodes)
	if err != nil {
		return err
	}
	return d.divide(parent, leaf, hash, name, number, kind)
}
