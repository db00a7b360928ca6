package read

import (
	"sort"

	"microagent/runtime/disk/ext4/format"
	"microagent/runtime/disk/ext4/super"
)

// Journal is the log of a file system. Its format is that of jbd2: Documentation/filesystems/ext4/journal.rst
// of the Linux kernel. Numbers of blocks count within the log unless they say otherwise.
type Journal struct {
	Image    *FS
	file     *File
	Super    [format.JournalSuperSize]byte
	End      uint32 // behind the last block
	First    uint32 // of the ring; what is before holds the superblock
	Start    uint32 // of the oldest transaction; 0: the log is empty
	Sequence uint32 // of the transaction at start, or of the next one
	Incompat uint32
	seed     uint32 // begins all checksums
}

// Journal opens the log without believing more of it than can be checked.
func (f *FS) Journal() (*Journal, error) {
	if f.Super.Compat&super.HasJournal == 0 {
		return nil, format.Unsupportedf("there is no journal")
	}
	if f.Super.JournalInode == 0 {
		return nil, format.Unsupportedf("the journal is on another device")
	}
	n, err := f.Inode(f.Super.JournalInode)
	if err != nil {
		return nil, err
	}
	if !n.IsRegular() {
		return nil, format.Corruptf("the journal is no file")
	}
	j := &Journal{Image: f}
	if j.file, err = f.File(n); err != nil {
		return nil, err
	}
	b := j.Super[:]
	at, err := j.Place(0)
	if err != nil {
		return nil, err
	}
	if err := format.ReadFull(f.R, b, at); err != nil {
		return nil, err
	}
	if format.BE.Uint32(b) != format.JournalMagic {
		return nil, format.Corruptf("no journal superblock")
	}
	switch format.BE.Uint32(b[format.JournalKind:]) {
	case format.JournalSuperV2:
	case format.JournalSuperV2 - 1:
		clear(b[format.JournalCompat:format.JournalUUID]) // the first version has no features
	default:
		return nil, format.Corruptf("journal superblock of type %d", format.BE.Uint32(b[format.JournalKind:]))
	}
	j.End, j.First = format.BE.Uint32(b[format.JournalEnd:]), format.BE.Uint32(b[format.JournalFirst:])
	j.Sequence, j.Start = format.BE.Uint32(b[format.JournalSequence:]), format.BE.Uint32(b[format.JournalStart:])
	j.Incompat = format.BE.Uint32(b[format.JournalIncompat:])
	return j, j.check()
}

func (j *Journal) check() error {
	b := j.Super[:]
	if more := j.Incompat &^ format.JournalReadable; more != 0 {
		return format.Unsupportedf("journal features %#x", more)
	}
	if format.BE.Uint32(b[format.JournalCompat:])&format.JournalCompatCsum != 0 && !j.Csums() {
		return format.Unsupportedf("a journal with checksums of whole transactions")
	}
	if j.Csums() {
		sum := format.BE.Uint32(b[format.JournalCsum:])
		format.BE.PutUint32(b[format.JournalCsum:], 0)
		have := format.CRC(^uint32(0), b)
		format.BE.PutUint32(b[format.JournalCsum:], sum)
		if b[format.JournalCsumAlgorithm] != format.JournalCsumType || have != sum || j.Has(format.JournalCsumV2) && j.Has(format.JournalCsumV3) {
			return format.Corruptf("checksum of the journal superblock")
		}
	}
	j.seed = format.CRC(^uint32(0), b[format.JournalUUID:][:16])
	switch {
	case int64(format.BE.Uint32(b[format.JournalBlockSize:])) != j.Image.BlockSize:
		return format.Corruptf("journal blocks of %d bytes", format.BE.Uint32(b[format.JournalBlockSize:]))
	case int64(j.End) > j.file.size/j.Image.BlockSize, j.First == 0, j.First >= j.End:
		return format.Corruptf("journal blocks %d to %d in a file of %d bytes", j.First, j.End, j.file.size)
	case j.End > format.MaxJournal:
		return format.Unsupportedf("a journal of more than %d blocks", format.MaxJournal)
	case j.Start != 0 && (j.Start < j.First || j.Start >= j.End):
		return format.Corruptf("journal starts at its block %d", j.Start)
	}
	return nil
}

// Has says whether the journal has a feature that a reader must know.
func (j *Journal) Has(feature uint32) bool { return j.Incompat&feature != 0 }

// Csums says whether what is logged has checksums.
func (j *Journal) Csums() bool { return j.Has(format.JournalCsumV2 | format.JournalCsumV3) }

// Place is the byte in the image where a block of the log lies.
func (j *Journal) Place(n uint32) (int64, error) {
	off := int64(n) * j.Image.BlockSize
	list := j.file.extents
	i := sort.Search(len(list), func(i int) bool { return list[i].Logical+list[i].Length > off })
	if i == len(list) || list[i].Logical > off || list[i].Unwritten {
		return 0, format.Corruptf("journal has no block %d", n)
	}
	return list[i].Physical + off - list[i].Logical, nil
}

// SealSuper writes the fields that change and the checksum into the superblock's bytes.
func (j *Journal) SealSuper() {
	b := j.Super[:]
	format.BE.PutUint32(b[format.JournalSequence:], j.Sequence)
	format.BE.PutUint32(b[format.JournalStart:], j.Start)
	format.BE.PutUint32(b[format.JournalIncompat:], j.Incompat)
	if j.Csums() {
		b[format.JournalCsumAlgorithm] = format.JournalCsumType
		format.BE.PutUint32(b[format.JournalCsum:], 0)
		format.BE.PutUint32(b[format.JournalCsum:], format.CRC(^uint32(0), b))
	}
}

// TagSize is what a tag takes, without the UUID that can follow it.
func (j *Journal) TagSize() int {
	size := 8
	switch {
	case j.Has(format.JournalCsumV3):
		return 16
	case j.Has(format.JournalCsumV2):
		size += 2
	}
	if j.Has(format.Journal64Bit) {
		size += 4
	}
	return size
}

// BlockCsum is a block's checksum with the four bytes at an offset, where it is kept, taken as zero.
func (j *Journal) BlockCsum(b []byte, at int) uint32 {
	c := format.CRC(j.seed, b[:at])
	c = format.CRC(c, make([]byte, 4))
	return format.CRC(c, b[at+4:])
}

// DataCsum is the checksum of a logged block as its tag keeps it.
func (j *Journal) DataCsum(b []byte, sequence uint32) uint32 {
	c := format.CRC(format.CRC(j.seed, format.BE.AppendUint32(nil, sequence)), b)
	if j.Has(format.JournalCsumV3) {
		return c
	}
	return c & 0xFFFF
}

// tailOK verifies the checksum at the end of a descriptor or revoke block.
func (j *Journal) tailOK(b []byte) bool {
	at := len(b) - 4
	return !j.Csums() || j.BlockCsum(b, at) == format.BE.Uint32(b[at:])
}

// commitOK verifies the checksum of a commit block.
func (j *Journal) commitOK(b []byte) bool {
	return !j.Csums() || j.BlockCsum(b, format.CommitCsum) == format.BE.Uint32(b[format.CommitCsum:])
}

// tag names the block of the file system that the log's next block is for.
type tag struct {
	block   uint64
	escaped bool
	csum    uint32
}

// tags reads a descriptor.
func (j *Journal) tags(b []byte) []tag {
	end := len(b)
	if j.Csums() {
		end -= 4
	}
	size := j.TagSize()
	var list []tag
	for at := format.JournalHeader; at+size <= end; {
		e := b[at:]
		t := tag{block: uint64(format.BE.Uint32(e))}
		var flags uint32
		if j.Has(format.JournalCsumV3) {
			flags, t.csum = format.BE.Uint32(e[4:]), format.BE.Uint32(e[12:])
		} else {
			t.csum, flags = uint32(format.BE.Uint16(e[4:])), uint32(format.BE.Uint16(e[6:]))
		}
		if j.Has(format.Journal64Bit) {
			t.block |= uint64(format.BE.Uint32(e[8:])) << 32
		}
		t.escaped = flags&format.TagEscaped != 0
		list = append(list, t)
		at += size
		if flags&format.TagSameUUID == 0 {
			at += 16
		}
		if flags&format.TagLast != 0 {
			break
		}
	}
	return list
}

// revoked reads a revoke block: numbers of the file system's blocks.
func (j *Journal) revoked(b []byte) ([]uint64, error) {
	end := len(b)
	if j.Csums() {
		end -= 4
	}
	used, size := int(format.BE.Uint32(b[format.JournalHeader:])), 4
	if j.Has(format.Journal64Bit) {
		size = 8
	}
	if used < format.JournalHeader+4 || used > end {
		return nil, format.Corruptf("revoke block of the journal")
	}
	var list []uint64
	for at := format.JournalHeader + 4; at+size <= used; at += size {
		if size == 8 {
			list = append(list, format.BE.Uint64(b[at:]))
		} else {
			list = append(list, uint64(format.BE.Uint32(b[at:])))
		}
	}
	return list, nil
}
