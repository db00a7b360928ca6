package schema

import (
	"path"
	"strconv"
	"strings"
)

// use is one mount of a volume or a disk.
type use struct {
	at     address
	where  place
	writes bool
}

// checkSharing refuses a writer and any other user of one volume or disk: two kernels that do not know of each other
// would destroy the file system. Readers may be many.
func (c *checker) checkSharing() {
	uses := map[string][]use{}
	var order []string
	for name, w := range c.section("workspaces") {
		for guest, e := range each(w.value.get("mounts")) {
			if e.bad || e.value.bad {
				continue
			}
			u := use{at: address{"workspaces", name, "mounts", guest}, writes: true}
			if ro := e.value.entry("readOnly"); ro != nil {
				u.writes = !strings.EqualFold(ro.value.text, "true")
			}
			what := ""
			if v := e.value.entry("volume"); v != nil {
				what, u.where = "volume "+quote(v.value.text), v.value.at
			} else if d := e.value.entry("disk"); d != nil {
				what, u.where = c.diskFile(d.value.text), d.value.at
			} else {
				continue
			}
			if uses[what] == nil {
				order = append(order, what)
			}
			uses[what] = append(uses[what], u)
		}
	}
	for _, what := range order {
		c.requireOneWriter(what, uses[what])
	}
}

// diskFile names the file of a disk, so that two disks of one file are one.
func (c *checker) diskFile(name string) string {
	if d := c.m.Disks[name]; d.Path != "" {
		return "disk file " + quote(path.Clean(d.Path))
	}
	return "disk " + quote(name)
}

func (c *checker) requireOneWriter(what string, uses []use) {
	writer := -1
	for i, u := range uses {
		if u.writes {
			writer = i
			break
		}
	}
	if writer < 0 {
		return
	}
	w := uses[writer]
	for i, u := range uses {
		if i == writer {
			continue
		}
		does := "mounts"
		if u.writes {
			does = "writes"
		}
		c.error(u.where, "sharing_conflict", u.at.String()+" "+does+" "+what+", which "+w.at.String()+" writes (line "+
			strconv.Itoa(w.where.line)+")",
			"add readOnly: true to both, or give each a volume of its own; a writer must be the only user")
	}
}
