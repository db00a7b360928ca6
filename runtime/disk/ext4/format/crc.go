package format

import (
	"encoding/binary"

	"microagent/runtime/disk/ext4/super"
)

// LE is the order of all that is not the journal's.
var LE = binary.LittleEndian

// CRC goes on with a CRC32C, not inverted at its end, from seed.
func CRC(seed uint32, p []byte) uint32 { return super.CRC(seed, p) }

func crc32le(seed, v uint32) uint32 {
	var b [4]byte
	LE.PutUint32(b[:], v)
	return CRC(seed, b[:])
}

// checksum64 is the CRC of a number of 64 bits.
func checksum64(seed uint32, v uint64) uint32 {
	var b [8]byte
	LE.PutUint64(b[:], v)
	return CRC(seed, b[:])
}

// InodeSeed begins the checksums of an inode and of the blocks it owns.
func InodeSeed(seed, ino, generation uint32) uint32 { return crc32le(crc32le(seed, ino), generation) }
