package ext4

import (
	"sort"

	"microagent/runtime/disk/ext4/super"
)

// Types of the journal's own blocks, and flags of the tags in a descriptor.
const (
	journalDescriptor = 1
	journalCommit     = 2
	journalRevoke     = 5

	tagEscaped  = 1
	tagSameUUID = 2
	tagLast     = 8
)

// Features of a journal.
const (
	journalCompatCsum = 0x1 // of whole transactions, given up long ago

	journalHasRevoke = 0x1
	journal64Bit     = 0x2
	journalAsync     = 0x4
	journalCsumV2    = 0x8
	journalCsumV3    = 0x10
	journalReadable  = journalHasRevoke | journal64Bit | journalAsync | journalCsumV2 | journalCsumV3
)

const (
	journalSuperSize = 1024 // bytes
	journalHeader    = 12
	journalCsumType  = 4       // CRC32C
	maxJournal       = 1 << 20 // blocks of a log that are looked at
)

// journal is the log of a file system. Its format is that of jbd2: Documentation/filesystems/ext4/journal.rst
// of the Linux kernel. Numbers of blocks count within the log unless they say otherwise.
type journal struct {
	fs       *FS
	file     *File
	super    [journalSuperSize]byte
	end      uint32 // behind the last block
	first    uint32 // of the ring; what is before holds the superblock
	start    uint32 // of the oldest transaction; 0: the log is empty
	sequence uint32 // of the transaction at start, or of the next one
	incompat uint32
	seed     uint32 // begins all checksums
}

// journal opens the log without believing more of it than can be checked.
func (f *FS) journal() (*journal, error) {
	if f.super.Compat&super.HasJournal == 0 {
		return nil, unsupportedf("there is no journal")
	}
	if f.super.JournalInode == 0 {
		return nil, unsupportedf("the journal is on another device")
	}
	n, err := f.Inode(f.super.JournalInode)
	if err != nil {
		return nil, err
	}
	if !n.IsRegular() {
		return nil, corruptf("the journal is no file")
	}
	j := &journal{fs: f}
	if j.file, err = f.File(n); err != nil {
		return nil, err
	}
	b := j.super[:]
	at, err := j.place(0)
	if err != nil {
		return nil, err
	}
	if err := readFull(f.r, b, at); err != nil {
		return nil, err
	}
	if be.Uint32(b) != journalMagic {
		return nil, corruptf("no journal superblock")
	}
	switch be.Uint32(b[4:]) {
	case journalSuperV2:
	case journalSuperV2 - 1:
		clear(b[0x24:0x30]) // the first version has no features
	default:
		return nil, corruptf("journal superblock of type %d", be.Uint32(b[4:]))
	}
	j.end, j.first = be.Uint32(b[0x10:]), be.Uint32(b[0x14:])
	j.sequence, j.start = be.Uint32(b[0x18:]), be.Uint32(b[0x1C:])
	j.incompat = be.Uint32(b[0x28:])
	return j, j.check()
}

func (j *journal) check() error {
	b := j.super[:]
	if more := j.incompat &^ journalReadable; more != 0 {
		return unsupportedf("journal features %#x", more)
	}
	if be.Uint32(b[0x24:])&journalCompatCsum != 0 && !j.csums() {
		return unsupportedf("a journal with checksums of whole transactions")
	}
	if j.csums() {
		sum := be.Uint32(b[0xFC:])
		be.PutUint32(b[0xFC:], 0)
		have := crc(^uint32(0), b)
		be.PutUint32(b[0xFC:], sum)
		if b[0x50] != journalCsumType || have != sum || j.has(journalCsumV2) && j.has(journalCsumV3) {
			return corruptf("checksum of the journal superblock")
		}
	}
	j.seed = crc(^uint32(0), b[0x30:0x40])
	switch {
	case int64(be.Uint32(b[0x0C:])) != j.fs.blockSize:
		return corruptf("journal blocks of %d bytes", be.Uint32(b[0x0C:]))
	case int64(j.end) > j.file.size/j.fs.blockSize, j.first == 0, j.first >= j.end:
		return corruptf("journal blocks %d to %d in a file of %d bytes", j.first, j.end, j.file.size)
	case j.end > maxJournal:
		return unsupportedf("a journal of more than %d blocks", maxJournal)
	case j.start != 0 && (j.start < j.first || j.start >= j.end):
		return corruptf("journal starts at its block %d", j.start)
	}
	return nil
}

func (j *journal) has(feature uint32) bool { return j.incompat&feature != 0 }
func (j *journal) csums() bool             { return j.has(journalCsumV2 | journalCsumV3) }

// place is the byte in the image where a block of the log lies.
func (j *journal) place(n uint32) (int64, error) {
	off := int64(n) * j.fs.blockSize
	list := j.file.extents
	i := sort.Search(len(list), func(i int) bool { return list[i].Logical+list[i].Length > off })
	if i == len(list) || list[i].Logical > off || list[i].Unwritten {
		return 0, corruptf("journal has no block %d", n)
	}
	return list[i].Physical + off - list[i].Logical, nil
}

// sealSuper writes the fields that change and the checksum into the superblock's bytes.
func (j *journal) sealSuper() {
	b := j.super[:]
	be.PutUint32(b[0x18:], j.sequence)
	be.PutUint32(b[0x1C:], j.start)
	be.PutUint32(b[0x28:], j.incompat)
	if j.csums() {
		b[0x50] = journalCsumType
		be.PutUint32(b[0xFC:], 0)
		be.PutUint32(b[0xFC:], crc(^uint32(0), b))
	}
}

// tagSize is what a tag takes, without the UUID that can follow it.
func (j *journal) tagSize() int {
	size := 8
	switch {
	case j.has(journalCsumV3):
		return 16
	case j.has(journalCsumV2):
		size += 2
	}
	if j.has(journal64Bit) {
		size += 4
	}
	return size
}

// blockCsum is a block's checksum with the four bytes at an offset, where it is kept, taken as zero.
func (j *journal) blockCsum(b []byte, at int) uint32 {
	c := crc(j.seed, b[:at])
	c = crc(c, make([]byte, 4))
	return crc(c, b[at+4:])
}

// dataCsum is the checksum of a logged block as its tag keeps it.
func (j *journal) dataCsum(b []byte, sequence uint32) uint32 {
	c := crc(crc(j.seed, be.AppendUint32(nil, sequence)), b)
	if j.has(journalCsumV3) {
		return c
	}
	return c & 0xFFFF
}

// tailOK verifies the checksum at the end of a descriptor or revoke block.
func (j *journal) tailOK(b []byte) bool {
	at := len(b) - 4
	return !j.csums() || j.blockCsum(b, at) == be.Uint32(b[at:])
}

// commitOK verifies the checksum of a commit block.
func (j *journal) commitOK(b []byte) bool {
	return !j.csums() || j.blockCsum(b, 0x10) == be.Uint32(b[0x10:])
}

// tag names the block of the file system that the log's next block is for.
type tag struct {
	block   uint64
	escaped bool
	csum    uint32
}

// tags reads a descriptor.
func (j *journal) tags(b []byte) []tag {
	end := len(b)
	if j.csums() {
		end -= 4
	}
	size := j.tagSize()
	var list []tag
	for at := journalHeader; at+size <= end; {
		e := b[at:]
		t := tag{block: uint64(be.Uint32(e))}
		var flags uint32
		if j.has(journalCsumV3) {
			flags, t.csum = be.Uint32(e[4:]), be.Uint32(e[12:])
		} else {
			t.csum, flags = uint32(be.Uint16(e[4:])), uint32(be.Uint16(e[6:]))
		}
		if j.has(journal64Bit) {
			t.block |= uint64(be.Uint32(e[8:])) << 32
		}
		t.escaped = flags&tagEscaped != 0
		list = append(list, t)
		at += size
		if flags&tagSameUUID == 0 {
			at += 16
		}
		if flags&tagLast != 0 {
			break
		}
	}
	return list
}

// revoked reads a revoke block: numbers of the file system's blocks.
func (j *journal) revoked(b []byte) ([]uint64, error) {
	end := len(b)
	if j.csums() {
		end -= 4
	}
	used, size := int(be.Uint32(b[journalHeader:])), 4
	if j.has(journal64Bit) {
		size = 8
	}
	if used < journalHeader+4 || used > end {
		return nil, corruptf("revoke block of the journal")
	}
	var list []uint64
	for at := journalHeader + 4; at+size <= used; at += size {
		if size == 8 {
			list = append(list, be.Uint64(b[at:]))
		} else {
			list = append(list, uint64(be.Uint32(b[at:])))
		}
	}
	return list, nil
}
