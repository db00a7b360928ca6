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

// requireOneWriter reports those of one volume or disk that may run together. Who writes is named, where one of two does
// not.
func (c *checker) requireOneWriter(what string, uses []use) {
	users := make([]Use, len(uses))
	for i, u := range uses {
		users[i] = Use{u.at[1], u.writes}
	}
	for i, turn := range c.order.Turns(users) {
		if turn.Clash < 0 {
			continue
		}
		u, w := uses[i], uses[turn.Clash]
		if u.writes && (!w.writes || u.where.before(w.where)) {
			u, w = w, u
		}
		does := "mounts"
		if u.writes {
			does = "writes"
		}
		c.error(u.where, "sharing_conflict", u.at.String()+" "+does+" "+what+", which "+w.at.String()+" writes (line "+
			strconv.Itoa(w.where.line)+")",
			c.takeTurns(u, w)+"add readOnly: true to both, or give each a volume of its own; a writer must be the only user at a time")
	}
}

// takeTurns is how two that use one volume could do so one after the other, "" when neither has a task that ends.
func (c *checker) takeTurns(u, w use) string {
	first, then := w.at[1], u.at[1]
	if !c.tasks()[first] {
		first, then = then, first
	}
	if !c.tasks()[first] || first == then {
		return ""
	}
	return "let them take turns: after: {" + cut(first) + ": completed} below workspaces." + cut(then) + "; or "
}
