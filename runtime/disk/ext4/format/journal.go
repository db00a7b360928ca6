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
	PutJournalHeader(b, JournalSuperV2, 0)
	BE.PutUint32(b[JournalBlockSize:], ext4.BlockSize)
	BE.PutUint32(b[JournalEnd:], blocks)
	BE.PutUint32(b[JournalFirst:], 1)    // first block of the log
	BE.PutUint32(b[JournalSequence:], 1) // first transaction expected; the log is empty
	copy(b[JournalUUID:], uuid[:])
	BE.PutUint32(b[journalUsers:], 1) // users
	return b
}

// PutJournalHeader begins a block of the journal's own.
func PutJournalHeader(b []byte, kind, sequence uint32) {
	BE.PutUint32(b, JournalMagic)
	BE.PutUint32(b[JournalKind:], kind)
	BE.PutUint32(b[JournalHeaderSequence:], sequence)
}
