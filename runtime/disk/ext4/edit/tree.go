package edit

import (
	"microagent/runtime/disk/ext4/format"
	"microagent/runtime/disk/ext4/read"
)

// putTree gives the root of an extent tree and the number of blocks below it.
func (e *Editor) putTree(list []format.Extent, own uint32, goal uint64) (root [60]byte, nodes uint64, err error) {
	if len(list) <= format.ExtentsInline {
		format.PutExtentHeader(root[:], len(list), format.ExtentsInline, 0)
		for i, x := range list {
			format.PutExtent(format.ExtentEntry(root[:], i), x)
		}
		return root, 0, nil
	}
	per := format.ExtentRoom(int(e.BlockSize))
	type child struct {
		logical uint32
		block   uint64
	}
	level := make([]child, len(list))
	for i, x := range list {
		level[i].logical = x.Logical
	}
	depth := 0
	for ; depth == 0 || len(level) > format.ExtentsInline; depth++ {
		var upper []child
		for from := 0; from < len(level); from += per {
			n := min(len(level)-from, per)
			at, err := e.takeBlock(goal)
			if err != nil {
				return root, nodes, err
			}
			nodes++
			b := e.fresh(at)
			format.PutExtentHeader(b, n, per, depth)
			for i := range n {
				if depth == 0 {
					format.PutExtent(format.ExtentEntry(b, i), list[from+i])
				} else {
					format.PutExtentIndex(format.ExtentEntry(b, i), level[from+i].logical, level[from+i].block)
				}
			}
			if e.Csums() {
				end := format.ExtentEnd(per)
				format.LE.PutUint32(b[end:], format.CRC(own, b[:end]))
			}
			upper = append(upper, child{level[from].logical, at})
		}
		level = upper
	}
	format.PutExtentHeader(root[:], len(level), format.ExtentsInline, depth)
	for i, c := range level {
		format.PutExtentIndex(format.ExtentEntry(root[:], i), c.logical, c.block)
	}
	return root, nodes, nil
}

// treeNodes are the blocks of a map itself.
func (e *Editor) treeNodes(n read.Inode) ([]uint64, error) {
	var list []uint64
	budget := read.MapBudget
	take := func(block uint64) ([]byte, error) {
		if budget--; budget < 0 {
			return nil, format.Corruptf("map of inode %d has no end", n.Number)
		}
		list = append(list, block)
		return e.Block(block)
	}
	var tree func(b []byte) error
	tree = func(b []byte) error {
		h := format.ParseExtentHeader(b)
		if h.Depth == 0 {
			return nil
		}
		for i := range h.Entries {
			_, at := format.ParseExtentIndex(format.ExtentEntry(b, i))
			child, err := take(at)
			if err != nil {
				return err
			}
			if err := tree(child); err != nil {
				return err
			}
		}
		return nil
	}
	var pointers func(block uint64, level int) error
	pointers = func(block uint64, level int) error {
		if block == 0 || level == 0 {
			return nil
		}
		b, err := take(block)
		for i := 0; err == nil && i < len(b); i += 4 {
			err = pointers(uint64(format.LE.Uint32(b[i:])), level-1)
		}
		return err
	}
	if n.Rec.Flags&format.InodeExtents != 0 {
		return list, tree(n.Rec.Block[:])
	}
	for i := 12; i < 15; i++ {
		if err := pointers(uint64(format.LE.Uint32(n.Rec.Block[4*i:])), i-11); err != nil {
			return list, err
		}
	}
	return list, nil
}
