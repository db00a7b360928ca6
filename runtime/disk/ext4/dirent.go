package ext4

import (
	"fmt"
	"sort"
)

const (
	direntHeader = 8
	dirTail      = 12 // fake entry with the block's checksum
	dirTailType  = 0xDE

	htreeRootLimit = (BlockSize - 32 - 8) / 8
	htreeNodeLimit = (BlockSize - 8 - 8) / 8
)

// direntTypes maps file types (mode >> 12) to the types of directory entries.
var direntTypes = [16]uint8{1: 5, 2: 3, 4: 2, 6: 4, 8: 1, 10: 7, 12: 6}

// direntSize is the room that an entry needs.
func direntSize(name string) int { return (direntHeader + len(name) + 3) &^ 3 }

// putDirent writes an entry that takes size bytes.
func putDirent(b []byte, ino uint32, size int, name string, kind uint8) {
	le.PutUint32(b[0:], ino)
	le.PutUint16(b[4:], uint16(size))
	b[6] = uint8(len(name))
	b[7] = kind
	copy(b[8:], name)
}

// putDirTail closes a block of entries. seed is its inode's.
func putDirTail(b []byte, seed uint32) {
	t := b[BlockSize-dirTail:]
	putDirent(t, 0, dirTail, "", dirTailType)
	le.PutUint32(t[8:], crc(seed, b[:BlockSize-dirTail]))
}

// name is an entry of a directory being written.
type name struct {
	name         string
	ino          uint32
	kind         uint8
	major, minor uint32 // hash, only when there is an index
}

// dirBlocks gives a directory's blocks in their order and whether they have an index.
func dirBlocks(n *inode, seed uint32, hash *[4]uint32) (blocks [][]byte, indexed bool, err error) {
	names := make([]name, 0, len(n.children))
	room := BlockSize - dirTail - direntSize(".") - direntSize("..")
	for s, e := range n.children {
		names = append(names, name{name: s, ino: e.num, kind: direntTypes[e.mode>>12]})
		room -= direntSize(s)
	}
	own := inodeSeed(seed, n.num, 0)
	if room >= 0 {
		sort.Slice(names, func(i, j int) bool { return names[i].name < names[j].name })
		dots := []name{{name: ".", ino: n.num, kind: 2}, {name: "..", ino: n.parent.num, kind: 2}}
		return [][]byte{leaf(append(dots, names...), own)}, false, nil
	}
	for i := range names {
		names[i].major, names[i].minor = nameHash(names[i].name, hash)
	}
	sort.Slice(names, func(i, j int) bool {
		a, b := &names[i], &names[j]
		if a.major != b.major {
			return a.major < b.major
		}
		if a.minor != b.minor {
			return a.minor < b.minor
		}
		return a.name < b.name
	})
	blocks, err = htree(n, names, own)
	return blocks, true, err
}

// leaf packs entries, which fit, into a block; the last one takes what is left.
func leaf(names []name, own uint32) []byte {
	b := make([]byte, BlockSize)
	at := 0
	for i := range names {
		size := direntSize(names[i].name)
		if i == len(names)-1 {
			size = BlockSize - dirTail - at
		}
		putDirent(b[at:], names[i].ino, size, names[i].name, names[i].kind)
		at += size
	}
	putDirTail(b, own)
	return b
}

// indexEntry points to a block whose entries' hashes are not below hash.
type indexEntry struct {
	hash  uint32
	block uint32
}

// htree makes root, nodes if one level is not enough, and leaves.
func htree(n *inode, names []name, own uint32) ([][]byte, error) {
	var leaves [][]byte
	var index []indexEntry
	for rest := names; len(rest) > 0; {
		count, left := 0, BlockSize-dirTail
		for count < len(rest) && direntSize(rest[count].name) <= left {
			left -= direntSize(rest[count].name)
			count++
		}
		hash := rest[0].major
		if at := len(names) - len(rest); at > 0 && names[at-1].major == hash {
			hash |= 1 // the same hash goes on from the block before
		}
		index = append(index, indexEntry{hash, uint32(len(leaves))})
		leaves = append(leaves, leaf(rest[:count], own))
		rest = rest[count:]
	}
	nodes := 0
	if len(index) > htreeRootLimit {
		nodes = (len(index) + htreeNodeLimit - 1) / htreeNodeLimit
	}
	if nodes > htreeRootLimit {
		return nil, fmt.Errorf("%w: directory with %d names", ErrInvalid, len(names))
	}
	for i := range index {
		index[i].block += uint32(1 + nodes)
	}
	blocks := make([][]byte, 1, 1+nodes+len(leaves))
	top := index
	if nodes > 0 {
		top = nil
		for rest := index; len(rest) > 0; {
			part := rest[:min(len(rest), htreeNodeLimit)]
			top = append(top, indexEntry{part[0].hash, uint32(len(blocks))})
			b := make([]byte, BlockSize)
			putDirent(b, 0, BlockSize, "", 0)
			putIndex(b, 8, htreeNodeLimit, part, own)
			blocks = append(blocks, b)
			rest = rest[len(part):]
		}
	}
	root := make([]byte, BlockSize)
	putDirent(root, n.num, 12, ".", 2)
	putDirent(root[12:], n.parent.num, BlockSize-12, "..", 2)
	root[28] = hashHalfMD4
	root[29] = 8 // length of this information
	if nodes > 0 {
		root[30] = 1
	}
	putIndex(root, 32, htreeRootLimit, top, own)
	blocks[0] = root
	return append(blocks, leaves...), nil
}

// putIndex writes index entries from at on; the first one's hash gives way to limit and count.
func putIndex(b []byte, at, limit int, entries []indexEntry, own uint32) {
	for i, e := range entries {
		le.PutUint32(b[at+8*i:], e.hash)
		le.PutUint32(b[at+8*i+4:], e.block)
	}
	le.PutUint16(b[at:], uint16(limit))
	le.PutUint16(b[at+2:], uint16(len(entries)))
	c := crc(own, b[:at+8*len(entries)])
	le.PutUint32(b[BlockSize-4:], crc(c, make([]byte, 8)))
}
