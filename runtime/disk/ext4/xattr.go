package ext4

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

const (
	xattrMagic       = 0xEA020000
	xattrBlockHeader = 32
	xattrInlineSpace = inodeSize - 128 - inodeExtra - 4 // behind the magic
)

// xattr is an extended attribute in on-disk form: the prefix as an index, ACLs converted.
type xattr struct {
	index uint8
	name  string
	value []byte
}

// xattrPrefixes in the order of their indexes; those that stand for a whole name first.
var xattrPrefixes = []struct {
	index  uint8
	prefix string
}{
	{2, "system.posix_acl_access"},
	{3, "system.posix_acl_default"},
	{1, "user."},
	{4, "trusted."},
	{6, "security."},
	{7, "system."},
}

// encodeXattrs brings attributes into on-disk form and order.
func encodeXattrs(attrs map[string][]byte) ([]xattr, error) {
	if len(attrs) == 0 {
		return nil, nil
	}
	list := make([]xattr, 0, len(attrs))
	for full, value := range attrs {
		x, err := encodeXattr(full, value)
		if err != nil {
			return nil, err
		}
		list = append(list, x)
	}
	sort.Slice(list, func(i, j int) bool {
		a, b := list[i], list[j]
		if a.index != b.index {
			return a.index < b.index
		}
		if len(a.name) != len(b.name) {
			return len(a.name) < len(b.name)
		}
		return a.name < b.name
	})
	if _, _, err := splitXattrs(list); err != nil {
		return nil, err
	}
	return list, nil
}

func encodeXattr(full string, value []byte) (xattr, error) {
	for _, p := range xattrPrefixes {
		name, ok := strings.CutPrefix(full, p.prefix)
		if !ok || (name == "") != (p.index == 2 || p.index == 3) {
			continue
		}
		if len(name) > maxName {
			return xattr{}, fmt.Errorf("%w: name of extended attribute %.40q... is longer than %d bytes", ErrInvalid, full, maxName)
		}
		if p.index == 2 || p.index == 3 {
			acl, err := encodeACL(value)
			if err != nil {
				return xattr{}, fmt.Errorf("%s: %w", full, err)
			}
			value = acl
		}
		return xattr{p.index, name, value}, nil
	}
	return xattr{}, fmt.Errorf("%w: extended attribute %.80q", ErrInvalid, full)
}

func (x *xattr) entrySize() int { return (16 + len(x.name) + 3) &^ 3 }
func (x *xattr) size() int      { return x.entrySize() + (len(x.value)+3)&^3 }

// Bytes for attributes, their end mark apart.
const (
	inlineRoom = xattrInlineSpace - 4
	blockRoom  = BlockSize - xattrBlockHeader - 4
)

// splitXattrs puts into the inode what fits there, in order, and the rest into the block; where that is too much for
// the block, those into the inode that fill it best.
func splitXattrs(list []xattr) (inline, block []xattr, err error) {
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
	return nil, nil, fmt.Errorf("%w: extended attributes need more than the inode and one block of %d bytes", ErrInvalid, BlockSize)
}

// fullest says which attributes fill the inode's room as far as any choice of them can.
func fullest(list []xattr) []bool {
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
func putXattrs(b []byte, first, base int, list []xattr, hashed bool) (blockHash uint32) {
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
		b[at] = uint8(len(x.name))
		b[at+1] = x.index
		if len(x.value) > 0 {
			le.PutUint16(b[at+2:], uint16(end-base))
		}
		le.PutUint32(b[at+8:], uint32(len(x.value)))
		le.PutUint32(b[at+12:], hash)
		copy(b[at+16:], x.name)
		at += x.entrySize()
	}
	return blockHash
}

// hash is an entry's hash over its name and value.
func (x *xattr) hash() uint32 {
	var h uint32
	for _, c := range []byte(x.name) {
		h = h<<5 ^ h>>27 ^ uint32(c)
	}
	for v := x.value; len(v) > 0; v = v[min(4, len(v)):] {
		var word [4]byte
		copy(word[:], v)
		h = h<<16 ^ h>>16 ^ le.Uint32(word[:])
	}
	return h
}

// xattrInline is the xattr space of an inode.
func xattrInline(list []xattr) []byte {
	if len(list) == 0 {
		return nil
	}
	b := make([]byte, inodeSize-128-inodeExtra)
	le.PutUint32(b, xattrMagic)
	putXattrs(b, 4, 4, list, false)
	return b
}

// xattrBlock is an xattr block that will lie at the given place.
func xattrBlock(list []xattr, seed uint32, place uint64) []byte {
	b := make([]byte, BlockSize)
	le.PutUint32(b[0:], xattrMagic)
	le.PutUint32(b[4:], 1) // one inode refers to it
	le.PutUint32(b[8:], 1)
	le.PutUint32(b[12:], putXattrs(b, xattrBlockHeader, 0, list, true))
	le.PutUint32(b[16:], crc(crc64le(seed, place), b))
	return b
}
