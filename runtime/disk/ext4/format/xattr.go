package format

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"microagent/runtime/disk/ext4"
)

const (
	XattrMagic       = 0xEA020000
	XattrBlockHeader = 32
	xattrInlineSpace = InodeSize - 128 - InodeExtra - 4 // behind the magic
)

// Offsets in an entry, whose name follows.
const (
	XattrNameLength = 0
	XattrIndex      = 1
	XattrValue      = 2 // where the value lies
	XattrInode      = 4 // of a value that lies in a file of its own
	XattrSize       = 8 // of the value
	xattrHash       = 12
	XattrEntry      = 16
)

// Offsets in a block of attributes, behind XattrMagic.
const (
	XattrUsers  = 4 // inodes that refer to it
	XattrBlocks = 8
	xattrHashes = 12
	XattrCsum   = 16
)

// Xattr is an extended attribute in on-disk form: the prefix as an index, ACLs converted.
type Xattr struct {
	Index uint8
	Name  string
	value []byte
}

// XattrPrefixes in the order of their indexes; those that stand for a whole name first.
var XattrPrefixes = []struct {
	Index  uint8
	Prefix string
}{
	{2, "system.posix_acl_access"},
	{3, "system.posix_acl_default"},
	{1, "user."},
	{4, "trusted."},
	{6, "security."},
	{7, "system."},
}

// EncodeXattrs brings attributes into on-disk form and order.
func EncodeXattrs(attrs map[string][]byte) ([]Xattr, error) {
	if len(attrs) == 0 {
		return nil, nil
	}
	list := make([]Xattr, 0, len(attrs))
	for full, value := range attrs {
		x, err := encodeXattr(full, value)
		if err != nil {
			return nil, err
		}
		list = append(list, x)
	}
	sort.Slice(list, func(i, j int) bool {
		a, b := list[i], list[j]
		if a.Index != b.Index {
			return a.Index < b.Index
		}
		if len(a.Name) != len(b.Name) {
			return len(a.Name) < len(b.Name)
		}
		return a.Name < b.Name
	})
	if _, _, err := SplitXattrs(list); err != nil {
		return nil, err
	}
	return list, nil
}

func encodeXattr(full string, value []byte) (Xattr, error) {
	for _, p := range XattrPrefixes {
		name, ok := strings.CutPrefix(full, p.Prefix)
		if !ok || (name == "") != (p.Index == 2 || p.Index == 3) {
			continue
		}
		if len(name) > MaxName {
			return Xattr{}, fmt.Errorf("%w: name of extended attribute %.40q... is longer than %d bytes", ext4.ErrInvalid, full, MaxName)
		}
		if p.Index == 2 || p.Index == 3 {
			acl, err := encodeACL(value)
			if err != nil {
				return Xattr{}, fmt.Errorf("%s: %w", full, err)
			}
			value = acl
		}
		return Xattr{p.Index, name, value}, nil
	}
	return Xattr{}, fmt.Errorf("%w: extended attribute %.80q", ext4.ErrInvalid, full)
}

// EntrySize is what the entry takes, without its value.
func (x *Xattr) EntrySize() int { return (XattrEntry + len(x.Name) + 3) &^ 3 }
func (x *Xattr) size() int      { return x.EntrySize() + (len(x.value)+3)&^3 }

// Bytes for attributes, their end mark apart.
const (
	inlineRoom = xattrInlineSpace - 4
	blockRoom  = ext4.BlockSize - XattrBlockHeader - 4
)

// SplitXattrs puts into the inode what fits there, in order, and the rest into the block; where that is too much for
// the block, those into the inode that fill it best.
func SplitXattrs(list []Xattr) (inline, block []Xattr, err error) {
	if len(list) == 0 {
		return nil, nil, nil
	}
	first := make([]bool, len(list))
	left := inlineRoom
	for i := range list {
		if n := list[i].size(); n <= left {
			left -= n
			first[i] = true
		}
	}
	for _, choice := range []func() []bool{func() []bool { return first }, func() []bool { return fullest(list) }} {
		inline, block = nil, nil
		room := blockRoom
		for i, in := range choice() {
			if in {
				inline = append(inline, list[i])
				continue
			}
			room -= list[i].size()
			block = append(block, list[i])
		}
		if room >= 0 {
			return inline, block, nil
		}
	}
	return nil, nil, fmt.Errorf("%w: extended attributes need more than the inode and one block of %d bytes", ext4.ErrInvalid, ext4.BlockSize)
}

// fullest says which attributes fill the inode's room as far as any choice of them can.
func fullest(list []Xattr) []bool {
	// with[size] are the attributes before the present one that have this size together; nil where none have.
	var with [inlineRoom + 1][]int
	with[0] = []int{}
	for i := range list {
		n := list[i].size()
		for size := inlineRoom; size >= n; size-- {
			if with[size] == nil && with[size-n] != nil {
				with[size] = append(slices.Clone(with[size-n]), i)
			}
		}
	}
	chosen := make([]bool, len(list))
	for size := inlineRoom; size >= 0; size-- {
		if with[size] == nil {
			continue
		}
		for _, i := range with[size] {
			chosen[i] = true
		}
		break
	}
	return chosen
}

// putXattrs writes entries from first on and values from the end of b down; offsets count from base.
func putXattrs(b []byte, first, base int, list []Xattr, hashed bool) (blockHash uint32) {
	at, end := first, len(b)
	for i := range list {
		x := &list[i]
		var hash uint32
		if hashed {
			hash = x.hash()
			blockHash = blockHash<<16 ^ blockHash>>16 ^ hash
		}
		end -= (len(x.value) + 3) &^ 3
		copy(b[end:], x.value)
		b[at+XattrNameLength] = uint8(len(x.Name))
		b[at+XattrIndex] = x.Index
		if len(x.value) > 0 {
			LE.PutUint16(b[at+XattrValue:], uint16(end-base))
		}
		LE.PutUint32(b[at+XattrSize:], uint32(len(x.value)))
		LE.PutUint32(b[at+xattrHash:], hash)
		copy(b[at+XattrEntry:], x.Name)
		at += x.EntrySize()
	}
	return blockHash
}

// hash is an entry's hash over its name and value.
func (x *Xattr) hash() uint32 {
	var h uint32
	for _, c := range []byte(x.Name) {
		h = h<<5 ^ h>>27 ^ uint32(c)
	}
	for v := x.value; len(v) > 0; v = v[min(4, len(v)):] {
		var word [4]byte
		copy(word[:], v)
		h = h<<16 ^ h>>16 ^ LE.Uint32(word[:])
	}
	return h
}

// XattrInline is the xattr space of an inode.
func XattrInline(list []Xattr) []byte {
	if len(list) == 0 {
		return nil
	}
	b := make([]byte, InodeSize-128-InodeExtra)
	LE.PutUint32(b, XattrMagic)
	putXattrs(b, 4, 4, list, false)
	return b
}

// XattrBlock is an xattr block that will lie at the given place.
func XattrBlock(list []Xattr, seed uint32, place uint64) []byte {
	b := make([]byte, ext4.BlockSize)
	LE.PutUint32(b[0:], XattrMagic)
	LE.PutUint32(b[XattrUsers:], 1)
	LE.PutUint32(b[XattrBlocks:], 1)
	LE.PutUint32(b[xattrHashes:], putXattrs(b, XattrBlockHeader, 0, list, true))
	SealXattrs(b, seed, place)
	return b
}

// SealXattrs writes the checksum of an xattr block that lies at the given place.
func SealXattrs(b []byte, seed uint32, place uint64) {
	LE.PutUint32(b[XattrCsum:], sumXattrs(b, seed, place))
}

// XattrsCsumOK verifies the checksum of an xattr block.
func XattrsCsumOK(b []byte, seed uint32, place uint64) bool {
	return LE.Uint32(b[XattrCsum:]) == sumXattrs(b, seed, place)
}

// sumXattrs takes the checksum's own field as zero.
func sumXattrs(b []byte, seed uint32, place uint64) uint32 {
	c := CRC(checksum64(seed, place), b[:XattrCsum])
	return CRC(CRC(c, make([]byte, 4)), b[XattrCsum+4:])
}
