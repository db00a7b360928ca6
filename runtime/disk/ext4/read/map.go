package read

import "microagent/runtime/disk/ext4/format"

const (
	MapBudget      = 1 << 20 // blocks of one inode's tree that are looked at
	indirectBudget = 1 << 16
)

// Extent is a part of a file that has blocks. All numbers are bytes.
type Extent struct {
	Logical  int64 // in the file
	Physical int64 // in the image
	Length   int64
	// Unwritten parts have blocks and read as zeros.
	Unwritten bool
}

// Extents is the map of a file or directory, in order, without its holes. Parts never overlap; they may reach
// beyond the file's size.
func (f *FS) Extents(n Inode) ([]Extent, error) {
	list, _, err := f.Map(n)
	return list, err
}

// Map is Extents, and the blocks that hold the map itself.
func (f *FS) Map(n Inode) (list []Extent, nodes []uint64, err error) {
	if n.Rec.Flags&format.InodeCrypt != 0 {
		return nil, nil, format.Unsupportedf("inode %d is encrypted", n.Number)
	}
	if n.Rec.Flags&format.InodeInline != 0 {
		return nil, nil, format.Unsupportedf("inode %d holds its data itself", n.Number)
	}
	m := mapper{f: f, inode: n.Number, own: format.InodeSeed(f.Seed, n.Number, n.Rec.Generation)}
	if n.Rec.Flags&format.InodeExtents == 0 {
		m.budget = indirectBudget
		err := m.indirect(n)
		return m.list, m.nodes, err
	}
	m.budget = MapBudget
	err = m.node(n.Rec.Block[:], -1)
	return m.list, m.nodes, err
}

// mapper collects a map. next is the first block that may follow: what goes backwards is corrupt, which also
// keeps any block from being used twice.
type mapper struct {
	f      *FS
	inode  uint32
	own    uint32
	next   uint64
	mapped uint64
	budget int
	list   []Extent
	nodes  []uint64 // blocks of the map itself
}

func (m *mapper) add(logical, count, phys uint64, unwritten bool) error {
	if logical < m.next || logical+count > 1<<32 || !m.f.Valid(phys, count) {
		return format.Corruptf("map of inode %d at block %d", m.inode, logical)
	}
	m.next = logical + count
	if m.mapped += count; m.mapped > m.f.Super.Blocks {
		return format.Corruptf("inode %d has more blocks than the file system", m.inode)
	}
	size := m.f.BlockSize
	m.list = append(m.list, Extent{int64(logical) * size, int64(phys) * size, int64(count) * size, unwritten})
	return nil
}

// node reads a node of an extent tree whose parent has the given depth; -1 for the root.
func (m *mapper) node(b []byte, parent int) error {
	h := format.ParseExtentHeader(b)
	if h.Magic != format.ExtentMagic || h.Entries > h.Limit || format.ExtentEnd(h.Limit) > len(b) || h.Depth > format.ExtentMaxDepth ||
		parent >= 0 && (h.Depth != parent-1 || h.Entries == 0) {
		return format.Corruptf("extent tree of inode %d", m.inode)
	}
	if parent >= 0 && m.f.Csums() {
		at := format.ExtentEnd(h.Limit)
		if at+4 > len(b) || format.LE.Uint32(b[at:]) != format.CRC(m.own, b[:at]) {
			return format.Corruptf("extent tree checksum of inode %d", m.inode)
		}
	}
	for i := range h.Entries {
		if h.Depth == 0 {
			e, unwritten := format.ParseExtent(format.ExtentEntry(b, i))
			if e.Count == 0 {
				return format.Corruptf("empty extent of inode %d", m.inode)
			}
			if err := m.add(uint64(e.Logical), uint64(e.Count), e.Phys, unwritten); err != nil {
				return err
			}
			continue
		}
		logical, at := format.ParseExtentIndex(format.ExtentEntry(b, i))
		if uint64(logical) < m.next {
			return format.Corruptf("extent index of inode %d", m.inode)
		}
		if m.budget--; m.budget < 0 {
			return format.Corruptf("extent tree of inode %d has no end", m.inode)
		}
		child, err := m.f.Block(at)
		if err != nil {
			return err
		}
		m.nodes = append(m.nodes, at)
		if err := m.node(child, h.Depth); err != nil {
			return err
		}
	}
	return nil
}

// indirect reads the block map of ext2 and ext3: 12 blocks, then one, two and three levels of blocks of numbers.
func (m *mapper) indirect(n Inode) error {
	per := uint64(m.f.BlockSize / 4)
	end := (uint64(n.Size) + uint64(m.f.BlockSize) - 1) / uint64(m.f.BlockSize)
	logical := uint64(0)
	for i := range 15 {
		phys := uint64(format.LE.Uint32(n.Rec.Block[4*i:]))
		level := max(i-11, 0)
		if err := m.branch(phys, level, logical, end); err != nil {
			return err
		}
		span := uint64(1)
		for range level {
			span *= per
		}
		if logical += span; logical >= end {
			break
		}
	}
	return nil
}

func (m *mapper) branch(phys uint64, level int, logical, end uint64) error {
	if phys == 0 || logical >= end {
		return nil
	}
	if level == 0 {
		size := m.f.BlockSize
		if n := len(m.list); n > 0 && m.f.Valid(phys, 1) {
			last := &m.list[n-1]
			if last.Logical+last.Length == int64(logical)*size && last.Physical+last.Length == int64(phys)*size {
				last.Length += size
				m.next = logical + 1
				m.mapped++
				return nil
			}
		}
		return m.add(logical, 1, phys, false)
	}
	if m.budget--; m.budget < 0 {
		return format.Corruptf("block map of inode %d has no end", m.inode)
	}
	b, err := m.f.Block(phys)
	if err != nil {
		return err
	}
	m.nodes = append(m.nodes, phys)
	span := uint64(1)
	for range level - 1 {
		span *= uint64(len(b) / 4)
	}
	for i := range len(b) / 4 {
		if err := m.branch(uint64(format.LE.Uint32(b[4*i:])), level-1, logical+uint64(i)*span, end); err != nil {
			return err
		}
	}
	return nil
}
