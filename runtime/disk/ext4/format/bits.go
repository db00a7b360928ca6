package format

import "math/bits"

// SetBits sets bits from..to-1 of a little-endian bitmap.
func SetBits(b []byte, from, to uint64) {
	for ; from < to && from%8 != 0; from++ {
		b[from/8] |= 1 << (from % 8)
	}
	for ; from+8 <= to; from += 8 {
		b[from/8] = 0xFF
	}
	for ; from < to; from++ {
		b[from/8] |= 1 << (from % 8)
	}
}

// ClearBits clears the bits from..to-1.
func ClearBits(b []byte, from, to uint64) {
	for ; from < to && from%8 != 0; from++ {
		b[from/8] &^= 1 << (from % 8)
	}
	for ; from+8 <= to; from += 8 {
		b[from/8] = 0
	}
	for ; from < to; from++ {
		b[from/8] &^= 1 << (from % 8)
	}
}

// CountBits counts the ones among the first n bits.
func CountBits(b []byte, n uint32) (ones uint32) {
	for _, c := range b[:n/8] {
		ones += uint32(bits.OnesCount8(c))
	}
	if n%8 != 0 {
		ones += uint32(bits.OnesCount8(b[n/8] & (1<<(n%8) - 1)))
	}
	return ones
}
