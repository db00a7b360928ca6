package ext4

import "encoding/binary"

// be is the journal's byte order.
var be = binary.BigEndian

const (
	journalMagic   = 0xC03B3998
	journalSuperV2 = 4
)

// journalSuper is the first block of an empty journal.
func journalSuper(blocks uint32, uuid [16]byte) []byte {
	b := make([]byte, BlockSize)
	be.PutUint32(b[0x00:], journalMagic)
	be.PutUint32(b[0x04:], journalSuperV2)
	be.PutUint32(b[0x0C:], BlockSize)
	be.PutUint32(b[0x10:], blocks)
	be.PutUint32(b[0x14:], 1) // first block of the log
	be.PutUint32(b[0x18:], 1) // first transaction expected; the log is empty
	copy(b[0x30:], uuid[:])
	be.PutUint32(b[0x40:], 1) // users
	return b
}
