package schema

import "strconv"

// checkMoved checks renames: each old name once, declared no more, and each way ends at what is declared.
func (c *checker) checkMoved() {
	n := c.root.get("moved")
	if n == nil || n.bad {
		return
	}
	to := map[string]string{}
	for i, item := range n.items {
		from, target := item.entry("volume"), item.entry("to")
		if from == nil || target == nil {
			continue
		}
		at := address{"moved", strconv.Itoa(i)}
		old := from.value.text
		switch {
		case to[old] != "":
			c.error(from.value.at, "conflict", at.String()+" moves volume "+quote(old)+", which an entry before it moves to "+quote(to[old]),
				"leave one of the two out")
			continue
		case c.there["volumes"][old]:
			c.error(from.value.at, "conflict", at.String()+" moves volume "+quote(old)+" away, which is declared in volumes",
				"write the name that it had before as volume, and the one that it has now as to")
		}
		to[old] = target.value.text
	}
	for i, item := range n.items {
		if target := item.entry("to"); target != nil && item.entry("volume") != nil {
			c.checkMoveEnds(to, item.entry("volume").value.text, target, address{"moved", strconv.Itoa(i), "to"})
		}
	}
}

// checkMoveEnds follows the moves of a name that moved more than once.
func (c *checker) checkMoveEnds(to map[string]string, from string, target *entry, at address) {
	seen := map[string]bool{from: true}
	name := target.value.text
	for ; to[name] != ""; name = to[name] {
		if seen[name] {
			c.error(target.value.at, "conflict", at.String()+" leads in a circle", "write the name that is declared now")
			return
		}
		seen[name] = true
	}
	v := c.root.get("volumes").get(name)
	if v == nil {
		if name == target.value.text {
			c.checkReference(target, "volumes", at)
		}
		return // told where the way ends
	}
	if external := v.get("external"); external != nil && !external.bad && external.text == "true" {
		c.error(target.value.at, "conflict", at.String()+" is "+quote(name)+", which is external",
			"a volume that the project owns, or leave the entry out")
	}
}
