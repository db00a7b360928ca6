package ext4

const (
	extentMagic    = 0xF30A
	extentMaxLen   = 32768 // of an initialised extent
	extentsInline  = 4
	extentsInBlock = (BlockSize - 12 - 4) / 12
	extentMaxDepth = 5
)

// extent maps count blocks of a file from logical on to blocks from phys on.
type extent struct {
	logical, count uint32
	phys           uint64
}

// appendBlocks adds a run at the end of a file's map, joining what is adjacent.
func appendBlocks(list []extent, logical uint32, phys uint64, count uint32) []extent {
	for count > 0 {
		if n := len(list); n > 0 {
			last := &list[n-1]
			if last.logical+last.count == logical && last.phys+uint64(last.count) == phys && last.count < extentMaxLen {
				k := min(count, extentMaxLen-last.count)
				last.count += k
				logical, phys, count = logical+k, phys+uint64(k), count-k
				continue
			}
		}
		k := min(count, extentMaxLen)
		list = append(list, extent{logical, k, phys})
		logical, phys, count = logical+k, phys+uint64(k), count-k
	}
	return list
}

func putExtentHeader(b []byte, entries, limit, depth int) {
	le.PutUint16(b[0:], extentMagic)
	le.PutUint16(b[2:], uint16(entries))
	le.PutUint16(b[4:], uint16(limit))
	le.PutUint16(b[6:], uint16(depth))
}

func putExtent(b []byte, e extent) {
	le.PutUint32(b[0:], e.logical)
	le.PutUint16(b[4:], uint16(e.count))
	le.PutUint16(b[6:], uint16(e.phys>>32))
	le.PutUint32(b[8:], uint32(e.phys))
}

func putExtentIndex(b []byte, logical uint32, child uint64) {
	le.PutUint32(b[0:], logical)
	le.PutUint32(b[4:], uint32(child))
	le.PutUint16(b[8:], uint16(child>>32))
}

// extentTree gives the root of a file's tree and how many blocks it needs below; node is called for each of
// these, lowest level first, and says where the block went.
func extentTree(list []extent, seed uint32, node func(b []byte) (uint64, error)) (root [60]byte, blocks uint64, err error) {
	if len(list) <= extentsInline {
		putExtentHeader(root[:], len(list), extentsInline, 0)
		for i, e := range list {
			putExtent(root[12+12*i:], e)
		}
		return root, 0, nil
	}
	type child struct {
		logical uint32
		block   uint64
	}
	emit := func(b []byte, logical uint32, level []child) ([]child, error) {
		le.PutUint32(b[BlockSize-4:], crc(seed, b[:BlockSize-4]))
		at, err := node(b)
		if err != nil {
			return nil, err
		}
		blocks++
		return append(level, child{logical, at}), nil
	}
	var level []child
	for rest := list; len(rest) > 0; {
		n := min(len(rest), extentsInBlock)
		b := make([]byte, BlockSize)
		putExtentHeader(b, n, extentsInBlock, 0)
		for i, e := range rest[:n] {
			putExtent(b[12+12*i:], e)
		}
		if level, err = emit(b, rest[0].logical, level); err != nil {
			return root, blocks, err
		}
		rest = rest[n:]
	}
	depth := 1
	for ; len(level) > extentsInline; depth++ {
		var upper []child
		for rest := level; len(rest) > 0; {
			n := min(len(rest), extentsInBlock)
			b := make([]byte, BlockSize)
			putExtentHeader(b, n, extentsInBlock, depth)
			for i, c := range rest[:n] {
				putExtentIndex(b[12+12*i:], c.logical, c.block)
			}
			if upper, err = emit(b, rest[0].logical, upper); err != nil {
				return root, blocks, err
			}
			rest = rest[n:]
		}
		level = upper
	}
	putExtentHeader(root[:], len(level), extentsInline, depth)
	for i, c := range level {
		putExtentIndex(root[12+12*i:], c.logical, c.block)
	}
	return root, blocks, nil
}
