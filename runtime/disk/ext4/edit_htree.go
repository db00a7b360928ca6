package ext4

import (
	"fmt"
	"sort"
)

const (
	flagUnsignedHash    = 2
	hashHalfMD4Unsigned = 4
	indexBlockMask      = 1<<28 - 1
)

// indexNode is a node of a directory's index: pairs of hash and block behind a head.
type indexNode struct {
	block uint32 // of the directory
	b     []byte
	base  int // where the pairs begin
	pos   int // the pair that the way goes through
}

func (n *indexNode) limit() int        { return int(le.Uint16(n.b[n.base:])) }
func (n *indexNode) count() int        { return int(le.Uint16(n.b[n.base+2:])) }
func (n *indexNode) hash(i int) uint32 { return le.Uint32(n.b[n.base+8*i:]) } // of pair 0 it is nothing
func (n *indexNode) child(i int) uint32 {
	return le.Uint32(n.b[n.base+8*i+4:]) & indexBlockMask
}

func (n *indexNode) set(i int, hash, child uint32) {
	if i > 0 {
		le.PutUint32(n.b[n.base+8*i:], hash)
	}
	le.PutUint32(n.b[n.base+8*i+4:], child)
}

func (n *indexNode) setCount(count int) { le.PutUint16(n.b[n.base+2:], uint16(count)) }

func (n *indexNode) full() bool { return n.count() == n.limit() }

// insert puts a pair behind the one that the way goes through.
func (n *indexNode) insert(hash, child uint32) {
	count := n.count()
	from := n.b[n.base+8*(n.pos+1) : n.base+8*count]
	copy(n.b[n.base+8*(n.pos+2):], from)
	n.set(n.pos+1, hash, child)
	n.setCount(count + 1)
}

// indexLimit is how many pairs a node holds whose pairs begin at base.
func (d *directory) indexLimit(base int) int {
	room := int(d.e.blockSize) - base
	if d.e.csums() {
		room -= 8
	}
	return room / 8
}

func (d *directory) sealIndex(n *indexNode) {
	if !d.e.csums() {
		return
	}
	tail := n.b[n.base+8*n.limit():]
	c := crc(crc(d.own, n.b[:n.base+8*n.count()]), tail[:4])
	le.PutUint32(tail[4:], crc(c, make([]byte, 4)))
}

// node reads a node and finds the way that a hash takes.
func (d *directory) node(logical uint32, base int, hash uint32) (*indexNode, error) {
	b, err := d.read(logical)
	if err != nil {
		return nil, err
	}
	n := &indexNode{block: logical, b: b, base: base}
	if n.limit() != d.indexLimit(base) || n.count() == 0 || n.count() > n.limit() {
		return nil, corruptf("index of directory inode %d", d.inode.Number)
	}
	n.pos = sort.Search(n.count()-1, func(i int) bool { return n.hash(i+1) > hash })
	return n, nil
}

// way goes from the index's root to the leaf for a name.
func (d *directory) way(name string) (nodes []*indexNode, leaf, hash uint32, err error) {
	b, err := d.read(0)
	if err != nil {
		return nil, 0, 0, err
	}
	version, length, levels, flags := b[28], int(b[29]), int(b[30]), b[31]
	if length != 8 || flags&1 != 0 || levels > 3 {
		return nil, 0, 0, corruptf("index of directory inode %d", d.inode.Number)
	}
	d.unsigned = version == hashHalfMD4Unsigned || d.e.super.flags&flagUnsignedHash != 0
	if version != hashHalfMD4 && version != hashHalfMD4Unsigned || levels > 1 {
		return nil, 0, 0, unsupportedf("index of directory inode %d with hash %d and %d levels", d.inode.Number, version, levels)
	}
	hash = d.hash(name)
	next, base := uint32(0), 24+length
	for range levels + 1 {
		n, err := d.node(next, base, hash)
		if err != nil {
			return nil, 0, 0, err
		}
		nodes = append(nodes, n)
		next, base = n.child(n.pos), 8
		if next == 0 || int64(next) >= int64(len(d.blocks)) {
			return nil, 0, 0, corruptf("index of directory inode %d", d.inode.Number)
		}
	}
	return nodes, next, hash, nil
}

// leafOf is the block where a name is; more says that it can be in other blocks as well.
func (d *directory) leafOf(name string) (leaf uint32, more bool, err error) {
	nodes, leaf, _, err := d.way(name)
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
		seed[i] = le.Uint32(d.e.super.hashSeed[4*i:])
	}
	if !d.unsigned {
		major, _ := nameHash(name, &seed)
		return major
	}
	return unsignedHash(name, &seed)
}

// unsignedHash is nameHash's major hash over unsigned characters.
func unsignedHash(name string, seed *[4]uint32) uint32 {
	buf := [4]uint32{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476}
	if *seed != [4]uint32{} {
		buf = *seed
	}
	for rest := name; len(rest) > 0; rest = rest[min(32, len(rest)):] {
		var in [8]uint32
		pad := uint32(len(rest)) | uint32(len(rest))<<8
		pad |= pad << 16
		for i := range in {
			v := pad
			for _, c := range []byte(rest[min(4*i, len(rest)):min(4*i+4, len(rest))]) {
				v = uint32(c) + v<<8
			}
			in[i] = v
		}
		halfMD4(&buf, &in)
	}
	major := buf[1] &^ 1
	if major == 0x7fffffff<<1 {
		major = (0x7fffffff - 1) << 1
	}
	return major
}

// editNode makes a node's bytes those of the transaction.
func (d *directory) editNode(n *indexNode) (err error) {
	n.b, err = d.edit(n.block)
	return err
}

// insertIndexed adds a name to its leaf, and splits what is full.
func (d *directory) insertIndexed(name string, number uint32, kind uint8) error {
	nodes, leaf, hash, err := d.way(name)
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
	parent, err := d.room(nodes)
	if err != nil {
		return err
	}
	return d.split(parent, leaf, hash, name, number, kind)
}

// room is the lowest node of a way, with room for one more pair.
func (d *directory) room(nodes []*indexNode) (*indexNode, error) {
	lowest := nodes[len(nodes)-1]
	if !lowest.full() {
		return lowest, nil
	}
	root := nodes[0]
	if len(nodes) > 1 && root.full() {
		return nil, errFull("room in the directory's index")
	}
	logical, b, err := d.grow()
	if err != nil {
		return nil, err
	}
	n := &indexNode{block: logical, b: b, base: 8}
	putDirent(b, 0, int(d.e.blockSize)&0xFFFF, "", 0)
	le.PutUint16(b[8:], uint16(d.indexLimit(8)))
	if len(nodes) == 1 {
		// One more level: the root's pairs go down.
		copy(b[12:], root.b[root.base+4:root.base+8*root.count()])
		le.PutUint16(b[10:], uint16(root.count()))
		n.pos = root.pos
		root.b[30] = 1
		root.pos = 0
		root.setCount(1)
		root.set(0, 0, logical)
		d.sealIndex(root)
		d.sealIndex(n)
		return n, nil
	}
	half := lowest.count() / 2
	first := lowest.hash(half)
	moved := lowest.count() - half
	copy(b[12:], lowest.b[lowest.base+8*half+4:lowest.base+8*lowest.count()])
	le.PutUint16(b[10:], uint16(moved))
	lowest.setCount(half)
	root.insert(first, logical)
	d.sealIndex(root)
	d.sealIndex(lowest)
	d.sealIndex(n)
	if lowest.pos >= half {
		n.pos = lowest.pos - half
		return n, nil
	}
	return lowest, nil
}

// hashed is an entry with its hash.
type hashed struct {
	slot
	hash uint32
}

// names takes all entries out of a block, by their hashes.
func (d *directory) names(b []byte) ([]hashed, error) {
	var list []hashed
	err := d.slots(b, func(s slot) bool {
		if s.inode != 0 && s.name != "." && s.name != ".." {
			list = append(list, hashed{s, d.hash(s.name)})
		}
		return true
	})
	sort.SliceStable(list, func(i, j int) bool { return list[i].hash < list[j].hash })
	return list, err
}

// halves finds where to cut a list, and the index's hash of the second part.
func halves(list []hashed) (cut int, hash uint32) {
	total, sum := 0, 0
	for _, h := range list {
		total += direntSize(h.name)
	}
	for cut = 0; cut < len(list)-1; {
		sum += direntSize(list[cut].name)
		cut++
		if 2*sum >= total {
			break
		}
	}
	hash = list[cut].hash
	if list[cut-1].hash == hash {
		hash |= 1 // the same hash goes on from the block before
	}
	return cut, hash
}

// pack fills a block with entries; the last one takes what is left.
func (d *directory) pack(b []byte, list []hashed) {
	clear(b)
	at := 0
	for i, h := range list {
		size := direntSize(h.name)
		if i == len(list)-1 {
			size = d.end() - at
		}
		putDirent(b[at:], h.inode, size, h.name, h.kind)
		at += size
	}
	d.seal(b)
}

// split divides a leaf, tells its parent, and adds a name to the half that it belongs to.
func (d *directory) split(parent *indexNode, leaf, hash uint32, name string, number uint32, kind uint8) error {
	b, err := d.read(leaf)
	if err != nil {
		return err
	}
	list, err := d.names(b)
	if err != nil {
		return err
	}
	if len(list) < 2 {
		return corruptf("directory inode %d has a full block with %d names", d.inode.Number, len(list))
	}
	cut, second := halves(list)
	logical, upper, err := d.grow()
	if err != nil {
		return err
	}
	if b, err = d.edit(leaf); err != nil {
		return err
	}
	d.pack(b, list[:cut])
	d.pack(upper, list[cut:])
	parent.insert(second, logical)
	d.sealIndex(parent)
	to := b
	if hash >= second {
		to = upper
	}
	ok, err := d.add(to, name, number, kind)
	if err == nil && !ok {
		err = fmt.Errorf("%w: the name %q in directory inode %d", ErrUnsupported, name, d.inode.Number)
	}
	d.seal(to)
	return err
}

// makeIndex turns a directory of one full block into an index with two leaves.
func (d *directory) makeIndex(name string, number uint32, kind uint8) error {
	b, err := d.read(0)
	if err != nil {
		return err
	}
	d.unsigned = d.e.super.flags&flagUnsignedHash != 0
	list, err := d.names(b)
	if err != nil {
		return err
	}
	var parent uint32
	if err := d.slots(b, func(s slot) bool {
		if s.name == ".." {
			parent = s.inode
		}
		return parent == 0
	}); err != nil {
		return err
	}
	if parent == 0 || len(list) < 2 {
		return corruptf("directory inode %d", d.inode.Number)
	}
	_, low, err := d.grow()
	if err != nil {
		return err
	}
	_, high, err := d.grow()
	if err != nil {
		return err
	}
	if b, err = d.edit(0); err != nil {
		return err
	}
	cut, second := halves(list)
	d.pack(low, list[:cut])
	d.pack(high, list[cut:])
	clear(b)
	putDirent(b, d.inode.Number, 12, ".", 2)
	putDirent(b[12:], parent, int(d.e.blockSize)-12, "..", 2)
	b[28], b[29] = hashHalfMD4, 8
	root := &indexNode{b: b, base: 32}
	le.PutUint16(b[32:], uint16(d.indexLimit(32)))
	root.setCount(2)
	root.set(0, 0, 1)
	root.set(1, second, 2)
	d.sealIndex(root)
	in, err := d.e.inodeBytes(d.inode.Number)
	if err != nil {
		return err
	}
	le.PutUint32(in[0x20:], le.Uint32(in[0x20:])|inodeIndex)
	d.e.sealInode(in, d.inode.Number)
	if d.inode, err = d.e.Inode(d.inode.Number); err != nil {
		return err
	}
	return d.insertIndexed(name, number, kind)
}
