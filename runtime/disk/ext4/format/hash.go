package format

import "math/bits"

// NameHash is the directory hash of a name: half MD4 over signed characters, as the kernel does it for file
// systems that say so in their flags. The low bit of the major hash is always clear.
func NameHash(name string, seed *[4]uint32) (major, minor uint32) {
	buf := [4]uint32{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476}
	if *seed != [4]uint32{} {
		buf = *seed
	}
	for rest := name; len(rest) > 0; rest = rest[min(32, len(rest)):] {
		in := hashWords(rest)
		HalfMD4(&buf, &in)
	}
	major = buf[1] &^ 1
	if major == 0x7fffffff<<1 {
		major = (0x7fffffff - 1) << 1
	}
	return major, buf[2]
}

// hashWords packs up to 32 characters of s into words, most significant first, filled up with its length.
func hashWords(s string) (out [8]uint32) {
	pad := uint32(len(s)) | uint32(len(s))<<8
	pad |= pad << 16
	for i := range out {
		v := pad
		for _, c := range []byte(s[min(4*i, len(s)):min(4*i+4, len(s))]) {
			v = uint32(int32(int8(c))) + v<<8
		}
		out[i] = v
	}
	return out
}

// HalfMD4 takes 32 bytes into buf: the half MD4 of fs/ext4/hash.c.
func HalfMD4(buf *[4]uint32, in *[8]uint32) {
	const k2, k3 = 0x5A827999, 0x6ED9EBA1
	a, b, c, d := buf[0], buf[1], buf[2], buf[3]
	f := func(x, y, z uint32) uint32 { return z ^ x&(y^z) }
	g := func(x, y, z uint32) uint32 { return x&y + (x^y)&z }
	h := func(x, y, z uint32) uint32 { return x ^ y ^ z }
	for i := 0; i < 8; i += 4 {
		a = bits.RotateLeft32(a+f(b, c, d)+in[i], 3)
		d = bits.RotateLeft32(d+f(a, b, c)+in[i+1], 7)
		c = bits.RotateLeft32(c+f(d, a, b)+in[i+2], 11)
		b = bits.RotateLeft32(b+f(c, d, a)+in[i+3], 19)
	}
	for i := 1; i >= 0; i-- {
		a = bits.RotateLeft32(a+g(b, c, d)+in[i]+k2, 3)
		d = bits.RotateLeft32(d+g(a, b, c)+in[i+2]+k2, 5)
		c = bits.RotateLeft32(c+g(d, a, b)+in[i+4]+k2, 9)
		b = bits.RotateLeft32(b+g(c, d, a)+in[i+6]+k2, 13)
	}
	for i := 3; i >= 1; i -= 2 {
		a = bits.RotateLeft32(a+h(b, c, d)+in[i]+k3, 3)
		d = bits.RotateLeft32(d+h(a, b, c)+in[i+4]+k3, 9)
		c = bits.RotateLeft32(c+h(d, a, b)+in[i-1]+k3, 11)
		b = bits.RotateLeft32(b+h(c, d, a)+in[i+3]+k3, 15)
	}
	buf[0] += a
	buf[1] += b
	buf[2] += c
	buf[3] += d
}

// UnsignedNameHash is NameHash's major hash over unsigned characters.
func UnsignedNameHash(name string, seed *[4]uint32) uint32 {
	buf := [4]uint32{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476}
	if *seed != [4]uint32{} {
		buf = *seed
	}
	for rest := name; len(rest) > 0; rest = rest[min(32, len(rest)):] {
		var in [8]uint32
		pad := uint32(len(rest)) | uint32(len(rest))<<8
		pad |= pad << 16
		for i := range in {
			v := pad
			for _, c := range []byte(rest[min(4*i, len(rest)):min(4*i+4, len(rest))]) {
				v = uint32(c) + v<<8
			}
			in[i] = v
		}
		HalfMD4(&buf, &in)
	}
	major := buf[1] &^ 1
	if major == 0x7fffffff<<1 {
		major = (0x7fffffff - 1) << 1
	}
	return major
}
