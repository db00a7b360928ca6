package build

import (
	"fmt"
	"sort"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/format"
)

const (
	htreeRootLimit = (ext4.BlockSize - format.IndexRoot - format.IndexTail) / format.IndexPair
	htreeNodeLimit = (ext4.BlockSize - format.IndexNode - format.IndexTail) / format.IndexPair
)

// name is an entry of a directory being written.
type name struct {
	name         string
	ino          uint32
	kind         uint8
	major, minor uint32 // hash, only when there is an index
}

// encodeDirectory gives a directory's blocks in their order and whether they have an index.
func encodeDirectory(n *inode, seed uint32, hash *[4]uint32) (blocks [][]byte, indexed bool, err error) {
	names := make([]name, 0, len(n.children))
	room := ext4.BlockSize - format.DirTail - format.DirentSize(".") - format.DirentSize("..")
	for s, e := range n.children {
		names = append(names, name{name: s, ino: e.num, kind: format.DirentTypes[e.mode>>12]})
		room -= format.DirentSize(s)
	}
	own := format.InodeSeed(seed, n.num, 0)
	if room >= 0 {
		sort.Slice(names, func(i, j int) bool { return names[i].name < names[j].name })
		dots := []name{{name: ".", ino: n.num, kind: 2}, {name: "..", ino: n.parent.num, kind: 2}}
		return [][]byte{encodeLeaf(append(dots, names...), own)}, false, nil
	}
	for i := range names {
		names[i].major, names[i].minor = format.NameHash(names[i].name, hash)
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
	blocks, err = encodeIndex(n, names, own)
	return blocks, true, err
}

// encodeLeaf packs entries, which fit, into a block; the last one takes what is left.
func encodeLeaf(names []name, own uint32) []byte {
	b := make([]byte, ext4.BlockSize)
	at := 0
	for i := range names {
		size := format.DirentSize(names[i].name)
		if i == len(names)-1 {
			size = ext4.BlockSize - format.DirTail - at
		}
		format.PutDirent(b[at:], names[i].ino, size, names[i].name, names[i].kind)
		at += size
	}
	format.PutDirTail(b, own)
	return b
}

// indexEntry points to a block whose entries' hashes are not below hash.
type indexEntry struct {
	hash  uint32
	block uint32
}

// encodeIndex makes root, nodes if one level is not enough, and leaves.
func encodeIndex(n *inode, names []name, own uint32) ([][]byte, error) {
	var leaves [][]byte
	var index []indexEntry
	for rest := names; len(rest) > 0; {
		count, left := 0, ext4.BlockSize-format.DirTail
		for count < len(rest) && format.DirentSize(rest[count].name) <= left {
			left -= format.DirentSize(rest[count].name)
			count++
		}
		hash := rest[0].major
		if at := len(names) - len(rest); at > 0 && names[at-1].major == hash {
			hash |= 1 // the same hash goes on from the block before
		}
		index = append(index, indexEntry{hash, uint32(len(leaves))})
		leaves = append(leaves, encodeLeaf(rest[:count], own))
		rest = rest[count:]
	}
	nodes := 0
	if len(index) > htreeRootLimit {
		nodes = (len(index) + htreeNodeLimit - 1) / htreeNodeLimit
	}
	if nodes > htreeRootLimit {
		return nil, fmt.Errorf("%w: directory with %d names", ext4.ErrInvalid, len(names))
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
			b := make([]byte, ext4.BlockSize)
			format.PutDirent(b, 0, ext4.BlockSize, "", 0)
			putIndex(b, format.IndexNode, htreeNodeLimit, part, own)
			blocks = append(blocks, b)
			rest = rest[len(part):]
		}
	}
	root := make([]byte, ext4.BlockSize)
	format.PutDots(root, n.num, n.parent.num, ext4.BlockSize)
	root[format.IndexHash], root[format.IndexInfo] = format.HashHalfMD4, format.IndexInfoSize
	if nodes > 0 {
		root[format.IndexLevels] = 1
	}
	putIndex(root, format.IndexRoot, htreeRootLimit, top, own)
	blocks[0] = root
	return append(blocks, leaves...), nil
}

// putIndex writes index entries from at on; the first one's hash gives way to limit and count.
func putIndex(b []byte, at, limit int, entries []indexEntry, own uint32) {
	for i, e := range entries {
		format.LE.PutUint32(b[at+format.IndexPair*i:], e.hash)
		format.LE.PutUint32(b[at+format.IndexPair*i+4:], e.block)
	}
	format.LE.PutUint16(b[at:], uint16(limit))
	format.LE.PutUint16(b[at+format.IndexCount:], uint16(len(entries)))
	c := format.CRC(own, b[:at+format.IndexPair*len(entries)])
	format.LE.PutUint32(b[ext4.BlockSize-4:], format.CRC(c, make([]byte, 8)))
}
