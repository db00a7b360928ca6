package schema

import "strconv"

// movedKinds are the keys of which an entry of moved has exactly one, and the sections that declare what it names.
var movedKinds = []struct{ key, section string }{{"volume", "volumes"}, {"workspace", "workspaces"}, {"project", ""}}

// checkMoved checks renames: each old name once, declared no more, and each way ends at what is declared.
func (c *checker) checkMoved() {
	n := c.root.get("moved")
	if n == nil || n.bad {
		return
	}
	for i, item := range n.items {
		c.checkMovedKind(item, address{"moved", strconv.Itoa(i)})
	}
	for _, kind := range movedKinds {
		c.checkMovedOf(n, kind.key, kind.section)
	}
}

// checkMovedKind checks that an entry says what moves, and one thing only.
func (c *checker) checkMovedKind(n *node, at address) {
	if n.bad {
		return
	}
	var first *entry
	for _, kind := range movedKinds {
		e := n.entry(kind.key)
		switch {
		case e == nil:
		case first == nil:
			first = e
		default:
			later := e
			if later.at.before(first.at) {
				later = first
			}
			c.error(later.at, "conflict", at.String()+" has both "+first.key+" and "+e.key, "write an entry for each")
		}
	}
	if first == nil && !n.misspells("volume", "workspace", "project") {
		c.error(n.at, "missing_field", at.String()+" does not say what moves", "add volume: NAME, workspace: NAME or project: NAME, with the old name")
	}
}

// checkMovedOf checks the renames of one kind of object.
func (c *checker) checkMovedOf(n *node, kind, section string) {
	to := map[string]string{}
	for i, item := range n.items {
		from, target := item.entry(kind), item.entry("to")
		if from == nil || target == nil {
			continue
		}
		at := address{"moved", strconv.Itoa(i)}
		old := from.value.text
		switch {
		case to[old] != "":
			c.error(from.value.at, "conflict", at.String()+" moves "+kind+" "+quote(old)+", which an entry before it moves to "+quote(to[old]),
				"leave one of the two out")
			continue
		case section != "" && c.there[section][old]:
			c.error(from.value.at, "conflict", at.String()+" moves "+kind+" "+quote(old)+" away, which is declared in "+section,
				"write the name that it had before as "+kind+", and the one that it has now as to")
		case section == "" && old == c.projectText():
			c.error(from.value.at, "conflict", at.String()+" moves project "+quote(old)+" away, which this manifest is of",
				"write the name that it had before as project, and the one that it has now as to")
		}
		to[old] = target.value.text
	}
	ends := moveEnds(to)
	for i, item := range n.items {
		if target := item.entry("to"); item.entry(kind) != nil && target != nil {
			c.checkMoveEnds(ends, section, target, address{"moved", strconv.Itoa(i), "to"})
		}
	}
}

// projectText is the name of the project as it is written, "" where that is wrong.
func (c *checker) projectText() string {
	if n := c.root.get("project"); n != nil && !n.bad {
		return n.text
	}
	return ""
}

// checkMoveEnds looks at where the way of a name ends that may have moved more than once.
func (c *checker) checkMoveEnds(ends map[string]string, section string, target *entry, at address) {
	name := target.value.text
	if end, goes := ends[name]; goes {
		name = end
		if name == "" {
			c.error(target.value.at, "conflict", at.String()+" leads in a circle", "write the name that is declared now")
			return
		}
	}
	if section == "" {
		if project := c.projectText(); project != "" && project != name && name == target.value.text {
			c.error(target.value.at, "dangling_reference", at.String()+" is "+quote(name)+", and this manifest is of project "+quote(project),
				"write to: "+cut(project))
		}
		return
	}
	v := c.root.get(section).get(name)
	if v == nil {
		if name == target.value.text {
			c.checkReference(target, section, at)
		}
		return // told where the way ends
	}
	if external := v.get("external"); section == "volumes" && external != nil && !external.bad && external.text == "true" {
		c.error(target.value.at, "conflict", at.String()+" is "+quote(name)+", which is external",
			"a volume that the project owns, or leave the entry out")
	}
}
