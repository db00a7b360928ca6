package super

import (
	"fmt"
	"strings"
)

// Compat are features that a kernel may not know and still write.
type Compat uint32

const (
	HasJournal   Compat = 0x4
	ExtAttr      Compat = 0x8
	ResizeInode  Compat = 0x10
	DirIndex     Compat = 0x20
	SparseSuper2 Compat = 0x200
	FastCommit   Compat = 0x400
	StableInodes Compat = 0x800
	OrphanFile   Compat = 0x1000
)

// Incompat are features that a kernel must know to read.
type Incompat uint32

const (
	Filetype         Incompat = 0x2
	NeedsRecovery    Incompat = 0x4
	JournalDev       Incompat = 0x8
	MetaBG           Incompat = 0x10
	Extents          Incompat = 0x40
	Wide             Incompat = 0x80 // 64bit
	MMP              Incompat = 0x100
	FlexBG           Incompat = 0x200
	XattrInode       Incompat = 0x400
	MetadataCsumSeed Incompat = 0x2000
	LargeDir         Incompat = 0x4000
	InlineData       Incompat = 0x8000
	Encrypt          Incompat = 0x10000
	Casefold         Incompat = 0x20000
)

// ROCompat are features that a kernel must know to write.
type ROCompat uint32

const (
	SparseSuper   ROCompat = 0x1
	LargeFile     ROCompat = 0x2
	BtreeDir      ROCompat = 0x4
	HugeFile      ROCompat = 0x8
	UninitBG      ROCompat = 0x10
	DirNlink      ROCompat = 0x20
	ExtraIsize    ROCompat = 0x40
	Quota         ROCompat = 0x100
	Bigalloc      ROCompat = 0x200
	MetadataCsum  ROCompat = 0x400
	ReadOnly      ROCompat = 0x1000
	Project       ROCompat = 0x2000
	Verity        ROCompat = 0x8000
	OrphanPresent ROCompat = 0x10000
)

// Names of all features as mke2fs -O and dumpe2fs spell them, by bit.
var (
	compatNames = map[int]string{
		0: "dir_prealloc", 1: "imagic_inodes", 2: "has_journal", 3: "ext_attr", 4: "resize_inode", 5: "dir_index",
		9: "sparse_super2", 10: "fast_commit", 11: "stable_inodes", 12: "orphan_file",
	}
	incompatNames = map[int]string{
		0: "compression", 1: "filetype", 2: "needs_recovery", 3: "journal_dev", 4: "meta_bg", 6: "extent", 7: "64bit",
		8: "mmp", 9: "flex_bg", 10: "ea_inode", 12: "dirdata", 13: "metadata_csum_seed", 14: "large_dir",
		15: "inline_data", 16: "encrypt", 17: "casefold",
	}
	roNames = map[int]string{
		0: "sparse_super", 1: "large_file", 2: "btree_dir", 3: "huge_file", 4: "uninit_bg", 5: "dir_nlink",
		6: "extra_isize", 8: "quota", 9: "bigalloc", 10: "metadata_csum", 11: "replica", 12: "read-only", 13: "project",
		14: "shared_blocks", 15: "verity", 16: "orphan_present",
	}
)

// String gives the features' names, lowest bit first: "has_journal, dir_index". Those without one are FEATURE_C31,
// FEATURE_I31 and FEATURE_R31 by their bit.
func (f Compat) String() string   { return names(uint32(f), compatNames, 'C') }
func (f Incompat) String() string { return names(uint32(f), incompatNames, 'I') }
func (f ROCompat) String() string { return names(uint32(f), roNames, 'R') }

func names(set uint32, by map[int]string, word rune) string {
	var out []string
	for bit := range 32 {
		if set&(1<<bit) == 0 {
			continue
		}
		name, ok := by[bit]
		if !ok {
			name = fmt.Sprintf("FEATURE_%c%d", word, bit)
		}
		out = append(out, name)
	}
	return strings.Join(out, ", ")
}
