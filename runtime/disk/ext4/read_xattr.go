package ext4

// Xattrs gives an inode's extended attributes by full name, ACLs in the form of the system calls. Attributes of
// unknown kinds are left out.
func (f *FS) Xattrs(n Inode) (map[string][]byte, error) {
	out := map[string][]byte{}
	if in := n.rec.inline; len(in) >= 8 && le.Uint32(in) == xattrMagic {
		if err := parseXattrs(out, in, 4, 4); err != nil {
			return nil, err
		}
	}
	if n.rec.xattrBlock == 0 {
		return out, nil
	}
	b, err := f.block(n.rec.xattrBlock)
	if err != nil {
		return nil, err
	}
	if le.Uint32(b) != xattrMagic || le.Uint32(b[8:]) != 1 {
		return nil, corruptf("xattr block of inode %d", n.Number)
	}
	if f.csums() {
		c := crc(crc64le(f.seed, n.rec.xattrBlock), b[:16])
		c = crc(crc(c, make([]byte, 4)), b[20:])
		if c != le.Uint32(b[16:]) {
			return nil, corruptf("xattr checksum of inode %d", n.Number)
		}
	}
	return out, parseXattrs(out, b, xattrBlockHeader, 0)
}

// parseXattrs reads entries from first on; offsets of values count from base.
func parseXattrs(out map[string][]byte, b []byte, first, base int) error {
	for at := first; ; {
		if at+4 > len(b) {
			return corruptf("xattr entries have no end")
		}
		if le.Uint32(b[at:]) == 0 {
			return nil
		}
		if at+16 > len(b) || at+16+int(b[at]) > len(b) {
			return corruptf("xattr entry")
		}
		x := xattr{index: b[at+1], name: string(b[at+16 : at+16+int(b[at])])}
		offset, size := base+int(le.Uint16(b[at+2:])), le.Uint32(b[at+8:])
		elsewhere := le.Uint32(b[at+4:]) != 0
		at += x.entrySize()
		if elsewhere {
			return unsupportedf("xattr with a value in an inode")
		}
		if size > 0 && (offset > len(b) || int64(size) > int64(len(b)-offset)) {
			return corruptf("xattr value")
		}
		for _, p := range xattrPrefixes {
			if p.index != x.index {
				continue
			}
			value := []byte{}
			if size > 0 {
				value = append(value, b[offset:offset+int(size)]...)
			}
			if p.index == 2 || p.index == 3 {
				acl, err := decodeACL(value)
				if err != nil {
					return err
				}
				value = acl
			}
			out[p.prefix+x.name] = value
		}
	}
}
