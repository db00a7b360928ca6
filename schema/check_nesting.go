package schema

import (
	"slices"
	"strconv"
	"strings"

	"microagent/schema/diag"
)

// mountAt is one mount of a workspace.
type mountAt struct {
	path     string // clean
	at       place
	readOnly bool
}

// checkNesting warns of mounts inside others: one hides what the other has there, and inside a read-only one the guest can't
// even make its folder. Sorted by element, what is inside a path follows it.
func (c *checker) checkNesting(at address, mounts []mountAt) {
	slices.SortStableFunc(mounts, func(a, b mountAt) int { return strings.Compare(sortable(a.path), sortable(b.path)) })
	var around []*mountAt
	for i := range mounts {
		m := &mounts[i]
		for len(around) > 0 && !holds(around[len(around)-1].path, m.path) {
			around = around[:len(around)-1]
		}
		if n := len(around); n > 0 && around[n-1].path != m.path {
			outer := around[n-1]
			how, advice := "and hides what that has there", "choose another path, unless this is what you want"
			if outer.readOnly {
				how, advice = "which is read-only", "have a folder of that name in what is mounted there, or choose another path"
			}
			c.add(diag.Warning, m.at, "mount_conflict", at.String()+": "+quote(m.path)+" lies inside "+quote(outer.path)+
				" (line "+strconv.Itoa(outer.at.line)+"), "+how, "", advice)
		}
		around = append(around, m)
	}
}

// isReadOnly says that what a mount attaches is not written.
func isReadOnly(n *node) bool {
	readOnly := n.entry("readOnly")
	return n.get("bundle") != nil || readOnly != nil && strings.EqualFold(readOnly.value.text, "true")
}
