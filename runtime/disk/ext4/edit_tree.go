package ext4

// putTree gives the root of an extent tree and the number of blocks below it.
func (e *Editor) putTree(list []extent, own uint32, goal uint64) (root [60]byte, nodes uint64, err error) {
	if len(list) <= extentsInline {
		putExtentHeader(root[:], len(list), extentsInline, 0)
		for i, x := range list {
			putExtent(root[12+12*i:], x)
		}
		return root, 0, nil
	}
	per := (int(e.blockSize) - 12) / 12
	type child struct {
		logical uint32
		block   uint64
	}
	level := make([]child, len(list))
	for i, x := range list {
		level[i].logical = x.logical
	}
	depth := 0
	for ; depth == 0 || len(level) > extentsInline; depth++ {
		var upper []child
		for from := 0; from < len(level); from += per {
			n := min(len(level)-from, per)
			at, err := e.block1(goal)
			if err != nil {
				return root, nodes, err
			}
			nodes++
			b := e.fresh(at)
			putExtentHeader(b, n, per, depth)
			for i := range n {
				if depth == 0 {
					putExtent(b[12+12*i:], list[from+i])
				} else {
					putExtentIndex(b[12+12*i:], level[from+i].logical, level[from+i].block)
				}
			}
			if e.csums() {
				end := 12 + 12*per
				le.PutUint32(b[end:], crc(own, b[:end]))
			}
			upper = append(upper, child{level[from].logical, at})
		}
		level = upper
	}
	putExtentHeader(root[:], len(level), extentsInline, depth)
	for i, c := range level {
		putExtentIndex(root[12+12*i:], c.logical, c.block)
	}
	return root, nodes, nil
}

// nodes are the blocks of a map itself.
func (e *Editor) nodes(n Inode) ([]uint64, error) {
	var list []uint64
	budget := mapBudget
	take := func(block uint64) ([]byte, error) {
		if budget--; budget < 0 {
			return nil, corruptf("map of inode %d has no end", n.Number)
		}
		list = append(list, block)
		return e.block(block)
	}
	var tree func(b []byte) error
	tree = func(b []byte) error {
		entries, depth := int(le.Uint16(b[2:])), int(le.Uint16(b[6:]))
		if depth == 0 {
			return nil
		}
		for i := range entries {
			x := b[12+12*i:]
			child, err := take(uint64(le.Uint32(x[4:])) | uint64(le.Uint16(x[8:]))<<32)
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
			err = pointers(uint64(le.Uint32(b[i:])), level-1)
		}
		return err
	}
	if n.rec.flags&inodeExtents != 0 {
		return list, tree(n.rec.block[:])
	}
	for i := 12; i < 15; i++ {
		if err := pointers(uint64(le.Uint32(n.rec.block[4*i:])), i-11); err != nil {
			return list, err
		}
	}
	return list, nil
}
