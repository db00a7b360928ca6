package edit

import (
	"fmt"
	"sort"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/format"
)

// makeRoom gives the lowest node of a way with room for one more pair. A node that has none is split; a root that is also the
// lowest node gets a level below it.
func (d *directory) makeRoom(nodes []*indexNode) (*indexNode, error) {
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
	n := &indexNode{block: logical, b: b, base: format.IndexNode}
	format.PutDirent(b, 0, int(d.e.BlockSize)&0xFFFF, "", 0)
	n.setLimit(d.indexLimit(n.base))
	if len(nodes) == 1 {
		// One more level: the root's pairs go down.
		n.take(root, 0)
		n.pos = root.pos
		root.b[format.IndexLevels] = 1
		root.pos = 0
		root.setCount(1)
		root.set(0, 0, logical)
		d.sealIndex(root)
		d.sealIndex(n)
		return n, nil
	}
	half := lowest.count() / 2
	first := lowest.hash(half)
	n.take(lowest, half)
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

// readNames takes all entries out of a block, by their hashes.
func (d *directory) readNames(b []byte) ([]hashed, error) {
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

// findCut finds where to cut a list, and the index's hash of the second part.
func findCut(list []hashed) (cut int, hash uint32) {
	total, sum := 0, 0
	for _, h := range list {
		total += format.DirentSize(h.name)
	}
	for cut = 0; cut < len(list)-1; {
		sum += format.DirentSize(list[cut].name)
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
		size := format.DirentSize(h.name)
		if i == len(list)-1 {
			size = d.end() - at
		}
		format.PutDirent(b[at:], h.inode, size, h.name, h.kind)
		at += size
	}
	d.seal(b)
}

// divide divides a leaf, tells its parent, and adds a name to the half that it belongs to.
func (d *directory) divide(parent *indexNode, leaf, hash uint32, name string, number uint32, kind uint8) error {
	b, err := d.read(leaf)
	if err != nil {
		return err
	}
	list, err := d.readNames(b)
	if err != nil {
		return err
	}
	if len(list) < 2 {
		return format.Corruptf("directory inode %d has a full block with %d names", d.inode.Number, len(list))
	}
	cut, second := findCut(list)
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
		err = fmt.Errorf("%w: the name %q in directory inode %d", ext4.ErrUnsupported, name, d.inode.Number)
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
	d.unsigned = d.e.Super.Flags&format.FlagUnsignedHash != 0
	list, err := d.readNames(b)
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
		return format.Corruptf("directory inode %d", d.inode.Number)
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
	cut, second := findCut(list)
	d.pack(low, list[:cut])
	d.pack(high, list[cut:])
	clear(b)
	format.PutDots(b, d.inode.Number, parent, int(d.e.BlockSize))
	b[format.IndexHash], b[format.IndexInfo] = format.HashHalfMD4, format.IndexInfoSize
	root := &indexNode{b: b, base: format.IndexRoot}
	root.setLimit(d.indexLimit(root.base))
	root.setCount(2)
	root.set(0, 0, 1)
	root.set(1, second, 2)
	d.sealIndex(root)
	in, err := d.e.inodeBytes(d.inode.Number)
	if err != nil {
		return err
	}
	in.AddFlags(format.InodeIndex)
	d.e.sealInode(in, d.inode.Number)
	if d.inode, err = d.e.Inode(d.inode.Number); err != nil {
		return err
	}
	return d.insertIndexed(name, number, kind)
}
