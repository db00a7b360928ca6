package ext4

import (
	"encoding/binary"

	"microagent/runtime/disk/ext4/super"
)

var le = binary.LittleEndian

func crc(seed uint32, p []byte) uint32 { return super.CRC(seed, p) }

func crc32le(seed, v uint32) uint32 {
	var b [4]byte
	le.PutUint32(b[:], v)
	return crc(seed, b[:])
}

func crc64le(seed uint32, v uint64) uint32 {
	var b [8]byte
	le.PutUint64(b[:], v)
	return crc(seed, b[:])
}

// inodeSeed begins the checksums of an inode and of the blocks it owns.
func inodeSeed(seed, ino, generation uint32) uint32 { return crc32le(crc32le(seed, ino), generation) }
