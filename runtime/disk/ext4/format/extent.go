package format

import "microagent/runtime/disk/ext4"

const (
	ExtentMagic    = 0xF30A
	ExtentMaxLen   = 32768 // of an initialised extent
	ExtentsInline  = 4
	extentsInBlock = (ext4.BlockSize - extentHeader - 4) / extentSize
	ExtentMaxDepth = 5
)

// Extent maps count blocks of a file from logical on to blocks from phys on.
type Extent struct {
	Logical, Count uint32
	Phys           uint64
}

// AppendBlocks adds a run at the end of a file's map, joining what is adjacent.
func AppendBlocks(list []Extent, logical uint32, phys uint64, count uint32) []Extent {
	for count > 0 {
		if n := len(list); n > 0 {
			last := &list[n-1]
			if last.Logical+last.Count == logical && last.Phys+uint64(last.Count) == phys && last.Count < ExtentMaxLen {
				k := min(count, ExtentMaxLen-last.Count)
				last.Count += k
				logical, phys, count = logical+k, phys+uint64(k), count-k
				continue
			}
		}
		k := min(count, ExtentMaxLen)
		list = append(list, Extent{logical, k, phys})
		logical, phys, count = logical+k, phys+uint64(k), count-k
	}
	return list
}

const (
	extentHeader = 12
	extentSize   = 12 // of an entry, in leaves and above
)

// ExtentRoom is how many entries a node of so many bytes holds.
func ExtentRoom(size int) int { return (size - extentHeader) / extentSize }

// ExtentEnd is behind a node's last entry where it has so many; its checksum follows.
func ExtentEnd(entries int) int { return extentHeader + extentSize*entries }

// ExtentEntry is where entry i of a node lies.
func ExtentEntry(b []byte, i int) []byte { return b[ExtentEnd(i):] }

// ExtentHeader is what a node says of itself.
type ExtentHeader struct {
	Magic          uint16
	Entries, Limit int
	Depth          int // levels above the leaves
}

// ParseExtentHeader reads a node's first bytes.
func ParseExtentHeader(b []byte) ExtentHeader {
	return ExtentHeader{LE.Uint16(b), int(LE.Uint16(b[2:])), int(LE.Uint16(b[4:])), int(LE.Uint16(b[6:]))}
}

// ParseExtent reads an entry of a leaf. Unwritten blocks read as zeros.
func ParseExtent(b []byte) (e Extent, unwritten bool) {
	e = Extent{LE.Uint32(b), uint32(LE.Uint16(b[4:])), uint64(LE.Uint32(b[8:])) | uint64(LE.Uint16(b[6:]))<<32}
	if unwritten = e.Count > ExtentMaxLen; unwritten {
		e.Count -= ExtentMaxLen
	}
	return e, unwritten
}

// ParseExtentIndex reads an entry that leads to the node in block child.
func ParseExtentIndex(b []byte) (logical uint32, child uint64) {
	return LE.Uint32(b), uint64(LE.Uint32(b[4:])) | uint64(LE.Uint16(b[8:]))<<32
}

// PutExtentHeader begins a node of an extent tree that has room for limit entries, depth levels above the leaves.
func PutExtentHeader(b []byte, entries, limit, depth int) {
	LE.PutUint16(b[0:], ExtentMagic)
	LE.PutUint16(b[2:], uint16(entries))
	LE.PutUint16(b[4:], uint16(limit))
	LE.PutUint16(b[6:], uint16(depth))
}

// PutExtent writes an entry of a leaf.
func PutExtent(b []byte, e Extent) {
	LE.PutUint32(b[0:], e.Logical)
	LE.PutUint16(b[4:], uint16(e.Count))
	LE.PutUint16(b[6:], uint16(e.Phys>>32))
	LE.PutUint32(b[8:], uint32(e.Phys))
}

// PutExtentIndex writes an entry that leads to the node in block child.
func PutExtentIndex(b []byte, logical uint32, child uint64) {
	LE.PutUint32(b[0:], logical)
	LE.PutUint32(b[4:], uint32(child))
	LE.PutUint16(b[8:], uint16(child>>32))
}

// ExtentTree gives the root of a file's tree and how many blocks it needs below; node is called for each of
// these, lowest level first, and says where the block went.
func ExtentTree(list []Extent, seed uint32, node func(b []byte) (uint64, error)) (root [60]byte, blocks uint64, err error) {
	if len(list) <= ExtentsInline {
		PutExtentHeader(root[:], len(list), ExtentsInline, 0)
		for i, e := range list {
			PutExtent(ExtentEntry(root[:], i), e)
		}
		return root, 0, nil
	}
	type child struct {
		logical uint32
		block   uint64
	}
	emit := func(b []byte, logical uint32, level []child) ([]child, error) {
		LE.PutUint32(b[ext4.BlockSize-4:], CRC(seed, b[:ext4.BlockSize-4]))
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
		b := make([]byte, ext4.BlockSize)
		PutExtentHeader(b, n, extentsInBlock, 0)
		for i, e := range rest[:n] {
			PutExtent(ExtentEntry(b, i), e)
		}
		if level, err = emit(b, rest[0].Logical, level); err != nil {
			return root, blocks, err
		}
		rest = rest[n:]
	}
	depth := 1
	for ; len(level) > ExtentsInline; depth++ {
		var upper []child
		for rest := level; len(rest) > 0; {
			n := min(len(rest), extentsInBlock)
			b := make([]byte, ext4.BlockSize)
			PutExtentHeader(b, n, extentsInBlock, depth)
			for i, c := range rest[:n] {
				PutExtentIndex(ExtentEntry(b, i), c.logical, c.block)
			}
			if upper, err = emit(b, rest[0].logical, upper); err != nil {
				return root, blocks, err
			}
			rest = rest[n:]
		}
		level = upper
	}
	PutExtentHeader(root[:], len(level), ExtentsInline, depth)
	for i, c := range level {
		PutExtentIndex(ExtentEntry(root[:], i), c.logical, c.block)
	}
	return root, blocks, nil
}
