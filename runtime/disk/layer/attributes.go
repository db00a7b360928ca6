package layer

import (
	"archive/tar"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"sort"
	"strconv"
	"strings"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/driver"
)

// PAX records that carry what ustar has no field for: extended attributes by star and GNU tar, by libarchive,
// and ACLs in text form.
const (
	paxXattr      = "SCHILY.xattr."
	paxLibarchive = "LIBARCHIVE.xattr."
	paxACLAccess  = "SCHILY.acl.access"
	paxACLDefault = "SCHILY.acl.default"

	aclAccess  = "system.posix_acl_access"
	aclDefault = "system.posix_acl_default"
)

func (w *walker) parseAttributes(hdr *tar.Header) (ext4.Attr, error) {
	uid, okUID := parseOwner(hdr.Uid)
	gid, okGID := parseOwner(hdr.Gid)
	if !okUID || !okGID {
		return ext4.Attr{}, fmt.Errorf("%w: owner %d:%d", driver.ErrInvalid, hdr.Uid, hdr.Gid)
	}
	attr := ext4.Attr{Mode: uint32(hdr.Mode & 0o7777), UID: uid, GID: gid, Mtime: hdr.ModTime}
	if len(hdr.PAXRecords) == 0 {
		return attr, nil
	}
	link := hdr.Typeflag == tar.TypeSymlink
	set := func(name string, value []byte) {
		if !isKnownXattr(name, link) {
			return
		}
		if attr.Xattrs == nil {
			attr.Xattrs = map[string][]byte{}
		}
		if _, ok := attr.Xattrs[name]; !ok {
			attr.Xattrs[name] = value
		}
	}
	for k, v := range hdr.PAXRecords {
		if name, ok := strings.CutPrefix(k, paxXattr); ok {
			set(starName.Replace(name), []byte(v))
		}
	}
	for k, v := range hdr.PAXRecords {
		if name, ok := strings.CutPrefix(k, paxLibarchive); ok {
			name, err := url.PathUnescape(name)
			if err != nil {
				return attr, fmt.Errorf("%w: name of an extended attribute: %w", driver.ErrInvalid, err)
			}
			value, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(v, "="))
			if err != nil {
				return attr, fmt.Errorf("%w: extended attribute %s: %w", driver.ErrInvalid, name, err)
			}
			set(name, value)
		}
	}
	for record, name := range map[string]string{paxACLAccess: aclAccess, paxACLDefault: aclDefault} {
		text := hdr.PAXRecords[record]
		if text == "" || record == paxACLDefault && hdr.Typeflag != tar.TypeDir {
			continue
		}
		if _, ok := attr.Xattrs[name]; ok {
			continue
		}
		acl, err := parseACL(text)
		if errors.Is(err, errACLName) && w.image {
			continue // nobody can know who is meant
		}
		if err != nil {
			return attr, err
		}
		set(name, acl)
	}
	return attr, nil
}

// noID is the id that chown(2) takes for "leave it": no file can have it, and a file that has it on disk can't be
// changed by anybody.
const noID = 1<<32 - 1

// parseOwner gives the user or group that a tar's number stands for: noID is root, as where chown leaves it.
func parseOwner(id int) (uint32, bool) {
	if int64(id) == noID {
		return 0, true
	}
	return uint32(id), id >= 0 && int64(id) < noID
}

// starName undoes what GNU tar and bsdtar do to the two characters that a PAX record's name can't hold.
var starName = strings.NewReplacer("%3D", "=", "%25", "%")

// isKnownXattr says whether Linux has a place for the attribute: others come from other systems and mean nothing here.
func isKnownXattr(name string, link bool) bool {
	switch {
	case strings.HasPrefix(name, "trusted."), strings.HasPrefix(name, "security."):
		return true
	case strings.HasPrefix(name, "user."), name == aclAccess, name == aclDefault:
		return !link
	}
	return false
}

var errACLName = errors.New("ACL names users or groups without their numbers; make the tar with --xattrs --xattrs-include='*', or with bsdtar")

// parseACL reads the text form "user::rwx,user:1000:r--,...", in which star appends the number as a fourth
// field, and gives the form of the system calls.
func parseACL(text string) ([]byte, error) {
	type aclEntry struct {
		tag, perm uint16
		id        uint32
	}
	var list []aclEntry
	for item := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == '\n' }) {
		item, _, _ = strings.Cut(item, "#")
		f := strings.Split(strings.TrimSpace(item), ":")
		if len(f) == 1 && f[0] == "" {
			continue
		}
		if len(f) == 2 && (strings.HasPrefix(f[0], "m") || strings.HasPrefix(f[0], "o")) {
			f = []string{f[0], "", f[1]}
		}
		if len(f) < 3 || len(f) > 4 {
			return nil, fmt.Errorf("%w: ACL entry %q", driver.ErrInvalid, item)
		}
		e := aclEntry{id: ^uint32(0)}
		named := f[1] != ""
		switch {
		case f[0] == "user" || f[0] == "u":
			e.tag = 0x01
		case f[0] == "group" || f[0] == "g":
			e.tag = 0x04
		case (f[0] == "mask" || f[0] == "m") && !named:
			e.tag = 0x10
		case (f[0] == "other" || f[0] == "o") && !named:
			e.tag = 0x20
		default:
			return nil, fmt.Errorf("%w: ACL entry %q", driver.ErrInvalid, item)
		}
		if named {
			e.tag <<= 1
			number := f[len(f)-1]
			if len(f) == 3 {
				number = f[1]
			}
			id, err := strconv.ParseUint(number, 10, 32)
			if err != nil || id == noID {
				return nil, errACLName
			}
			e.id = uint32(id)
		}
		for _, c := range f[2] {
			switch c {
			case 'r':
				e.perm |= 4
			case 'w':
				e.perm |= 2
			case 'x':
				e.perm |= 1
			case '-':
			default:
				return nil, fmt.Errorf("%w: ACL entry %q", driver.ErrInvalid, item)
			}
		}
		list = append(list, e)
	}
	sort.SliceStable(list, func(i, j int) bool {
		if list[i].tag != list[j].tag {
			return list[i].tag < list[j].tag
		}
		return list[i].id < list[j].id
	})
	out := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range list {
		out = binary.LittleEndian.AppendUint16(out, e.tag)
		out = binary.LittleEndian.AppendUint16(out, e.perm)
		out = binary.LittleEndian.AppendUint32(out, e.id)
	}
	return out, nil
}
