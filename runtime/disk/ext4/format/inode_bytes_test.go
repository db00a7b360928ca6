package format

import (
	"bytes"
	"testing"
	"time"
)

// What is set field by field is what the whole record reads, in inodes with and without room behind the first 128 bytes,
// and nothing else changes.
func TestInodeBytes(t *testing.T) {
	when := StampOf(time.Date(2300, 1, 2, 3, 4, 5, 6, time.UTC))
	for name, c := range map[string]struct {
		size  int
		extra uint16
		wide  bool
	}{"old": {128, 0, false}, "no extra": {256, 0, false}, "checksum alone": {256, 4, false}, "usual": {256, 32, true}, "large": {1024, 32, true}} {
		b := InodeBytes(bytes.Repeat([]byte{0xA5}, c.size))
		if c.size > inodeBase {
			LE.PutUint16(b[inodeExtra:], c.extra)
		}
		was := ParseRecord(bytes.Clone(b))
		b.SetLinks(7)
		b.SetSize(5 << 32)
		b.SetSectors(3<<32 | 1)
		b.SetXattrBlock(9<<32 | 2)
		b.SetNextOrphan(77)
		b.SetCtime(when)
		b.SetMtime(when)
		b.AddFlags(InodeIndex)
		copy(b.Block(), "block")
		got := ParseRecord(b)
		if got.Links != 7 || b.Links() != 7 || got.Size != 5<<32 || got.Sectors != 3<<32|1 || got.XattrBlock != 9<<32|2 || b.XattrBlock() != 9<<32|2 ||
			got.Dtime != 77 || b.NextOrphan() != 77 || got.Flags != was.Flags|InodeIndex || !bytes.HasPrefix(got.Block[:], []byte("block")) {
			t.Errorf("%s: %+v", name, got)
		}
		if c.wide && (got.Ctime != when || got.Mtime != when) || uint32(got.Ctime.Sec) != uint32(when.Sec) {
			t.Errorf("%s: times %v %v, want %v", name, got.Ctime, got.Mtime, when)
		}
		if got.Mode != was.Mode || got.Uid != was.Uid || got.Gid != was.Gid || got.Generation != was.Generation || got.Atime != was.Atime || !bytes.Equal(got.Inline, was.Inline) {
			t.Errorf("%s: what was not named changed: %+v to %+v", name, was, got)
		}
		b.Seal(1, 2)
		if !b.CsumOK(1, 2) || b.CsumOK(1, 3) || b.CsumOK(2, 2) {
			t.Errorf("%s: the checksum does not tell inodes apart", name)
		}
		for at := range b {
			b[at] ^= 0x10
			if at != inodeExtra && at != inodeExtra+1 && b.CsumOK(1, 2) {
				t.Errorf("%s: byte %#x changed unseen", name, at)
			}
			b[at] ^= 0x10
		}
	}
}

// A descriptor of 32 bytes keeps the lower halves, one of 64 bytes all; addresses are left alone.
func TestGroupState(t *testing.T) {
	want := Group{BlockBitmap: 1<<32 | 5, InodeBitmap: 6, InodeTable: 7, FreeBlocks: 1<<16 | 1, FreeInodes: 2<<16 | 2, UsedDirs: 3<<16 | 3,
		UnusedInodes: 4<<16 | 4, Flags: 5, BlockCsum: 6<<16 | 6, InodeCsum: 7<<16 | 7}
	b := make([]byte, DescSize)
	want.Put(b, 1, 2)
	var got Group
	if got.Parse(b); got != want || !GroupCsumOK(b, 1, 2) || GroupCsumOK(b, 1, 3) {
		t.Errorf("%+v, want %+v", got, want)
	}
	short := bytes.Clone(b[:32])
	state := Group{FreeBlocks: 9<<16 | 9}
	state.PutState(short)
	SealGroup(short, 1, 2)
	if got = (Group{}); !GroupCsumOK(short, 1, 2) {
		t.Error("a descriptor of 32 bytes has no checksum")
	}
	if got.Parse(short); got.FreeBlocks != 9 || got.BlockBitmap != 5 || got.InodeTable != 7 {
		t.Errorf("of 32 bytes: %+v", got)
	}
}
