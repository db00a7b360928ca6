package read

import "microagent/runtime/disk/ext4/format"

// Xattrs gives an inode's extended attributes by full name, ACLs in the form of the system calls. Attributes of
// unknown kinds are left out.
func (f *FS) Xattrs(n Inode) (map[string][]byte, error) {
	out := map[string][]byte{}
	if in := n.Rec.Inline; len(in) >= 8 && format.LE.Uint32(in) == format.XattrMagic {
		if err := parseXattrs(out, in, 4, 4); err != nil {
			return nil, err
		}
	}
	if n.Rec.XattrBlock == 0 {
		return out, nil
	}
	b, err := f.Block(n.Rec.XattrBlock)
	if err != nil {
		return nil, err
	}
	if format.LE.Uint32(b) != format.XattrMagic || format.LE.Uint32(b[format.XattrBlocks:]) != 1 {
		return nil, format.Corruptf("xattr block of inode %d", n.Number)
	}
	if f.Csums() && !format.XattrsCsumOK(b, f.Seed, n.Rec.XattrBlock) {
		return nil, format.Corruptf("xattr checksum of inode %d", n.Number)
	}
	return out, parseXattrs(out, b, format.XattrBlockHeader, 0)
}

// parseXattrs reads entries from first on; offsets of values count from base.
func parseXattrs(out map[string][]byte, b []byte, first, base int) error {
	for at := first; ; {
		if at+4 > len(b) {
			return format.Corruptf("xattr entries have no end")
		}
		if format.LE.Uint32(b[at:]) == 0 {
			return nil
		}
		if at+format.XattrEntry > len(b) || at+format.XattrEntry+int(b[at+format.XattrNameLength]) > len(b) {
			return format.Corruptf("xattr entry")
		}
		x := format.Xattr{Index: b[at+format.XattrIndex], Name: string(b[at+format.XattrEntry:][:b[at+format.XattrNameLength]])}
		offset, size := base+int(format.LE.Uint16(b[at+format.XattrValue:])), format.LE.Uint32(b[at+format.XattrSize:])
		elsewhere := format.LE.Uint32(b[at+format.XattrInode:]) != 0
		at += x.EntrySize()
		if elsewhere {
			return format.Unsupportedf("xattr with a value in an inode")
		}
		if size > 0 && (offset > len(b) || int64(size) > int64(len(b)-offset)) {
			return format.Corruptf("xattr value")
		}
		for _, p := range format.XattrPrefixes {
			if p.Index != x.Index {
				continue
			}
			value := []byte{}
			if size > 0 {
				value = append(value, b[offset:offset+int(size)]...)
			}
			if p.Index == 2 || p.Index == 3 {
				acl, err := format.DecodeACL(value)
				if err != nil {
					return err
				}
				value = acl
			}
			out[p.Prefix+x.Name] = value
		}
	}
}
