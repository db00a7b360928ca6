package agent

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
)

// identity is as whom a process runs.
type identity struct {
	uid, gid uint32
	groups   []uint32
	home     string
}

// Files of the root file system that name users.
const (
	passwdFile = "/etc/passwd"
	groupFile  = "/etc/group"
)

// accounts looks names up in a passwd and a group file.
type accounts struct{ passwd, group string }

// find resolves "", "name", "uid", "name:group" and so on as OCI images mean it: a number needs no entry, a name
// does; without an entry the group is 0; supplementary groups are those that list the user, unless a group is named.
func (a accounts) find(spec string) (identity, error) {
	user, group, grouped := strings.Cut(spec, ":")
	user, group = plainNumber(user), plainNumber(group)
	if user == "" {
		user = "0"
	}
	id := identity{home: "/"}
	entry, err := a.lookup(a.passwd, user, 7)
	switch {
	case err != nil:
		return id, err
	case entry != nil:
		if id.uid, err = number(entry[2]); err == nil {
			id.gid, err = number(entry[3])
		}
		if err != nil {
			return id, fmt.Errorf("user %s in %s: %w", user, a.passwd, err)
		}
		user = entry[0]
		if entry[5] != "" {
			id.home = entry[5]
		}
	default:
		if id.uid, err = number(user); err != nil {
			return id, fmt.Errorf("user %q is not in %s", user, a.passwd)
		}
		if id.uid == 0 {
			id.home = "/root"
		}
	}
	if grouped && group != "" {
		entry, err := a.lookup(a.group, group, 4)
		if err != nil {
			return id, err
		}
		name := group
		if entry != nil {
			group = entry[2]
		}
		if id.gid, err = number(group); err != nil {
			return id, fmt.Errorf("group %q is not in %s", name, a.group)
		}
		id.groups = []uint32{id.gid}
		return id, nil
	}
	id.groups, err = a.supplementary(user, id.gid)
	return id, err
}

// plainNumber is a number without zeros in front, so that numbers are compared as numbers; a name stays as it is.
func plainNumber(s string) string {
	if n, err := strconv.ParseUint(s, 10, 32); err == nil {
		return strconv.FormatUint(n, 10)
	}
	return s
}

// lookup finds the entry by name, else by number in the third field; nil when there is none.
func (a accounts) lookup(file, key string, fields int) ([]string, error) {
	var byNumber []string
	var byName []string
	err := entries(file, fields, func(e []string) {
		if byName == nil && e[0] == key {
			byName = e
		}
		if byNumber == nil && e[2] == key {
			byNumber = e
		}
	})
	if byName != nil {
		return byName, err
	}
	return byNumber, err
}

func (a accounts) supplementary(user string, primary uint32) ([]uint32, error) {
	groups := []uint32{primary}
	err := entries(a.group, 4, func(e []string) {
		if !slices.Contains(strings.Split(e[3], ","), user) {
			return
		}
		if gid, err := number(e[2]); err == nil && !slices.Contains(groups, gid) {
			groups = append(groups, gid)
		}
	})
	return groups, err
}

// entries calls f for each well-formed line; a file that isn't there has none.
func entries(file string, fields int, f func([]string)) error {
	r, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer r.Close()
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if e := strings.Split(lines.Text(), ":"); len(e) == fields {
			f(e)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	return nil
}

// number parses a uid or gid; the highest value means "none" to the kernel.
func number(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == math.MaxUint32 {
		return 0, fmt.Errorf("%q is no user or group number", s)
	}
	return uint32(n), nil
}
