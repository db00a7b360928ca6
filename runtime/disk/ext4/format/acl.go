package format

import (
	"fmt"

	"microagent/runtime/disk/ext4"
)

// POSIX ACLs lie on disk in another form (version 1, entries of 4 or 8 bytes) than the system calls use
// (version 2, entries of 8 bytes).
const (
	aclDiskVersion = 1
	aclCallVersion = 2
	aclUser        = 0x02
	aclGroup       = 0x08
	aclNoID        = ^uint32(0)
)

func encodeACL(value []byte) ([]byte, error) {
	if len(value) < 4 || (len(value)-4)%8 != 0 || LE.Uint32(value) != aclCallVersion {
		return nil, fmt.Errorf("%w: not a POSIX ACL of version %d", ext4.ErrInvalid, aclCallVersion)
	}
	out := LE.AppendUint32(nil, aclDiskVersion)
	for e := value[4:]; len(e) > 0; e = e[8:] {
		tag := LE.Uint16(e)
		switch tag {
		case aclUser, aclGroup:
			if LE.Uint32(e[4:]) == aclNoID {
				return nil, fmt.Errorf("%w: POSIX ACL entry for nobody", ext4.ErrInvalid)
			}
			out = append(out, e[:8]...)
		case 0x01, 0x04, 0x10, 0x20:
			out = append(out, e[:4]...)
		default:
			return nil, fmt.Errorf("%w: POSIX ACL entry with tag %#x", ext4.ErrInvalid, tag)
		}
	}
	return out, nil
}

// DecodeACL gives the form of the system calls.
func DecodeACL(disk []byte) ([]byte, error) {
	if len(disk) < 4 || LE.Uint32(disk) != aclDiskVersion {
		return nil, fmt.Errorf("%w: POSIX ACL of an unknown version", ext4.ErrCorrupt)
	}
	out := LE.AppendUint32(nil, aclCallVersion)
	for e := disk[4:]; len(e) > 0; {
		if len(e) < 4 {
			return nil, fmt.Errorf("%w: torn POSIX ACL", ext4.ErrCorrupt)
		}
		if tag := LE.Uint16(e); tag == aclUser || tag == aclGroup {
			if len(e) < 8 {
				return nil, fmt.Errorf("%w: torn POSIX ACL", ext4.ErrCorrupt)
			}
			out = append(out, e[:8]...)
			e = e[8:]
			continue
		}
		out = append(out, e[:4]...)
		out = LE.AppendUint32(out, aclNoID)
		e = e[4:]
	}
	return out, nil
}
