package format

import "microagent/runtime/disk/ext4"

const (
	DirentHeader = 8
	DirTail      = 12 // fake entry with the block's checksum
	DirTailType  = 0xDE
)

// DirentTypes maps file types (mode >> 12) to the types of directory entries.
var DirentTypes = [16]uint8{1: 5, 2: 3, 4: 2, 6: 4, 8: 1, 10: 7, 12: 6}

// DirentSize is the room that an entry needs.
func DirentSize(name string) int { return (DirentHeader + len(name) + 3) &^ 3 }

// PutDirent writes an entry that takes size bytes.
func PutDirent(b []byte, ino uint32, size int, name string, kind uint8) {
	LE.PutUint32(b[0:], ino)
	LE.PutUint16(b[4:], uint16(size))
	b[6] = uint8(len(name))
	b[7] = kind
	copy(b[8:], name)
}

// PutDirTail closes a block of entries. seed is its inode's.
func PutDirTail(b []byte, seed uint32) {
	t := b[ext4.BlockSize-DirTail:]
	PutDirent(t, 0, DirTail, "", DirTailType)
	LE.PutUint32(t[8:], CRC(seed, b[:ext4.BlockSize-DirTail]))
}
