package format

import (
	"encoding/binary"

	"microagent/runtime/disk/ext4"
)

// BE is the journal's byte order.
var BE = binary.BigEndian

const (
	JournalMagic   = 0xC03B3998
	JournalSuperV2 = 4
)

// JournalSuper is the first block of an empty journal.
func JournalSuper(blocks uint32, uuid [16]byte) []byte {
	b := make([]byte, ext4.BlockSize)
	BE.PutUint32(b[0x00:], JournalMagic)
	BE.PutUint32(b[0x04:], JournalSuperV2)
	BE.PutUint32(b[0x0C:], ext4.BlockSize)
	BE.PutUint32(b[0x10:], blocks)
	BE.PutUint32(b[0x14:], 1) // first block of the log
	BE.PutUint32(b[0x18:], 1) // first transaction expected; the log is empty
	copy(b[0x30:], uuid[:])
	BE.PutUint32(b[0x40:], 1) // users
	return b
}
