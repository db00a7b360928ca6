package format

import "microagent/runtime/disk/ext4"

// Offsets in an entry of a directory, which begins with its inode.
const (
	DirentRoom   = 4 // to the next entry
	DirentLength = 6 // of the name; 16 bits without super.Filetype
	DirentKind   = 7
	DirentHeader = 8 // then the name
	dirTailCsum  = 8 // in the entry that closes a block
)

const (
	DirTail     = 12 // fake entry with the block's checksum
	DirTailType = 0xDE
)

// DirentTypes maps file types (mode >> 12) to the types of directory entries.
var DirentTypes = [16]uint8{1: 5, 2: 3, 4: 2, 6: 4, 8: 1, 10: 7, 12: 6}

// DirentSize is the room that an entry needs.
func DirentSize(name string) int { return (DirentHeader + len(name) + 3) &^ 3 }

// PutDirent writes an entry that takes size bytes.
func PutDirent(b []byte, ino uint32, size int, name string, kind uint8) {
	LE.PutUint32(b[0:], ino)
	LE.PutUint16(b[DirentRoom:], uint16(size))
	b[DirentLength] = uint8(len(name))
	b[DirentKind] = kind
	copy(b[DirentHeader:], name)
}

// PutDots begins a directory: the entries of itself and of its parent, which takes what is left up to end.
func PutDots(b []byte, self, parent uint32, end int) {
	first := DirentSize(".")
	kind := DirentTypes[ext4.ModeDir>>12]
	PutDirent(b, self, first, ".", kind)
	PutDirent(b[first:], parent, end-first, "..", kind)
}

// PutDirTail closes a block of entries. own is its inode's seed.
func PutDirTail(b []byte, own uint32) {
	t := b[len(b)-DirTail:]
	PutDirent(t, 0, DirTail, "", DirTailType)
	LE.PutUint32(t[dirTailCsum:], CRC(own, b[:len(b)-DirTail]))
}

// DirTailOK says whether a block of entries is closed by its checksum.
func DirTailOK(b []byte, own uint32) bool {
	t := b[len(b)-DirTail:]
	return LE.Uint32(t) == 0 && LE.Uint16(t[DirentRoom:]) == DirTail && t[DirentLength] == 0 && t[DirentKind] == DirTailType &&
		LE.Uint32(t[dirTailCsum:]) == CRC(own, b[:len(b)-DirTail])
}
