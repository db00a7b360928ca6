package schema

import (
	"slices"
	"strings"

	"microagent/schema/diag"
)

// checker looks at what takes more than one value to see: references, exclusions, conflicts, paths. It works on the
// typed manifest for what is declared and on the tree for where it is, and leaves alone what was reported as bad.
type checker struct {
	*report
	root    *node
	m       *Manifest
	own     string // the manifest's own file name
	outside func(string) bool
	names   map[string][]string        // of a section, in the order of the file
	there   map[string]map[string]bool // the same, to look up
	used    map[string]map[string]bool // of a section, what is referred to
	tasked  map[string]bool            // see tasks
	order   *Order
	// guesses is how many more names may be compared for a "did you mean": it keeps many wrong references among
	// many names linear.
	guesses int
}

func (c *checker) checkAll() {
	c.names = map[string][]string{}
	c.there = map[string]map[string]bool{}
	c.used = map[string]map[string]bool{}
	c.guesses = 50_000
	for _, section := range []string{"volumes", "bundles", "disks", "workspaces", "outputs"} {
		c.there[section] = map[string]bool{}
		c.used[section] = map[string]bool{}
		for name := range c.section(section) {
			c.names[section] = append(c.names[section], name)
			c.there[section][name] = true
		}
	}
	c.checkVolumes()
	c.checkMoved()
	claims := c.checkSources()
	for name, e := range c.section("workspaces") {
		claims = append(claims, c.checkWorkspace(address{"workspaces", name}, e)...)
	}
	c.checkPorts()
	c.order = c.m.Order()
	c.checkOrder()
	c.checkSharing()
	claims = append(claims, c.checkOutputs()...)
	c.checkOverlaps(claims)
	c.warnUnused()
}

// section goes through the objects of a section in the order of the file.
func (c *checker) section(name string) func(yield func(string, *entry) bool) {
	return each(c.root.get(name))
}

func each(n *node) func(yield func(string, *entry) bool) {
	return func(yield func(string, *entry) bool) {
		if n == nil || n.bad {
			return
		}
		for i := range n.entries {
			if e := &n.entries[i]; !yield(e.key, e) {
				return
			}
		}
	}
}

// entry gives a key of n that is there and not bad, with its value.
func (n *node) entry(key string) *entry {
	if n == nil || n.bad {
		return nil
	}
	i := slices.IndexFunc(n.entries, func(e entry) bool { return e.key == key })
	if i < 0 || n.entries[i].bad || n.entries[i].value.bad {
		return nil
	}
	return &n.entries[i]
}

// checkReference checks that a name is declared in a section.
func (c *checker) checkReference(e *entry, section string, at address) {
	c.checkName(e.value.text, e.value.at, section, at)
}

// checkName checks that a name is declared in a section.
func (c *checker) checkName(name string, where place, section string, at address) bool {
	c.used[section][name] = true
	if c.there[section][name] {
		return true
	}
	c.error(where, "dangling_reference", at.String()+" refers to "+quote(name)+", which is not in "+section,
		c.suggest(name, section))
	return false
}

func (c *checker) suggest(name, section string) string {
	if near := c.nearest(name, c.names[section]); near != "" {
		return "did you mean " + near + "?"
	}
	for _, other := range []string{"volumes", "bundles", "disks", "workspaces"} {
		if other != section && c.there[other][name] {
			one := strings.TrimSuffix(other, "s")
			if section == "workspaces" || one == "workspace" {
				return quote(name) + " is a " + one
			}
			return quote(name) + " is a " + one + ": write " + one + ": " + cut(name)
		}
	}
	shape := map[string]string{
		"volumes": "size: 1GiB", "bundles": "source: ./dir", "disks": "path: ./disk.ext4", "workspaces": "image: IMAGE",
	}[section]
	return "declare it: " + section + ": {" + cut(name) + ": {" + shape + "}}"
}

func (c *checker) nearest(name string, names []string) string {
	if c.guesses -= len(names); c.guesses < 0 {
		return ""
	}
	return closest(name, names)
}

func (c *checker) checkVolumes() {
	for name, e := range c.section("volumes") {
		if e.value.bad {
			continue
		}
		at := address{"volumes", name}
		size, external := e.value.get("size"), e.value.entry("external")
		isExternal := external != nil && strings.EqualFold(external.value.text, "true")
		switch {
		case size == nil && !isExternal && (external != nil || e.value.get("external") == nil):
			if !e.value.misspells("size", "external") {
				c.error(e.at, "missing_field", at.String()+" has no size",
					`add size: 1GiB, or external: true for a volume made with "volume create"`)
			}
		case size != nil && isExternal:
			c.error(external.at, "conflict", at.String()+" has a size and is external",
				"leave out size, which an external volume has already, or external")
		}
		if p := e.value.entry("protected"); p != nil && isExternal {
			c.add(diag.Warning, p.at, "no_effect", at.String()+".protected has no effect on an external volume", "",
				"leave it out")
		}
		c.checkVolumeFrom(name, e.value, isExternal, at)
	}
}

// warnUnused warns of what is declared and mounted nowhere, unless there are errors, which may be why. A volume may be
// kept for later.
func (c *checker) warnUnused() {
	if c.list.Errors() {
		return
	}
	for _, section := range []string{"bundles", "disks"} {
		for name, e := range c.section(section) {
			if !c.used[section][name] {
				c.add(diag.Warning, e.at, "unused", section+"."+name+" is not mounted by any workspace", "",
					"mount it, or leave it out")
			}
		}
	}
}
