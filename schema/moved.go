package schema

import "microagent/schema/diag"

// Moved says that what was declared under another name is what is declared as To now. Exactly one of Volume, Workspace and
// Project is set: the old name.
type Moved struct {
	Volume    string
	Workspace string
	Project   string
	To        string
	Pos       diag.Pos // of the old name
}

// Of gives the kind of object that moved, as its key is written, and its old name.
func (m Moved) Of() (kind, from string) {
	switch {
	case m.Workspace != "":
		return "workspace", m.Workspace
	case m.Project != "":
		return "project", m.Project
	}
	return "volume", m.Volume
}

// NamesNow gives the names that objects of a kind have in m now, by each that they had before: one may have moved more than
// once.
func (m *Manifest) NamesNow(kind string) map[string]string {
	to := map[string]string{}
	for _, one := range m.Moved {
		if of, from := one.Of(); of == kind {
			to[from] = one.To
		}
	}
	return moveEnds(to)
}

// NameNow is the name that an object has in m that had another.
func (m *Manifest) NameNow(kind, name string) string {
	if now := m.NamesNow(kind)[name]; now != "" {
		return now
	}
	return name
}

// NamesBefore are the names that an object of m had before, in the order of moved.
func (m *Manifest) NamesBefore(kind, name string) []string {
	var list []string
	now := m.NamesNow(kind)
	for _, one := range m.Moved {
		if of, from := one.Of(); of == kind && from != name && now[from] == name {
			list = append(list, from)
		}
	}
	return list
}

// moveEnds gives for each name in to the one at which its way ends, "" for a way in a circle. No step is taken twice.
func moveEnds(to map[string]string) map[string]string {
	ends := make(map[string]string, len(to))
	for name := range to {
		var way []string
		for {
			end, known := ends[name] // "" also while it is on this way
			if known {
				name = end
				break
			}
			next := to[name]
			if next == "" {
				break
			}
			ends[name] = ""
			way = append(way, name)
			name = next
		}
		for _, one := range way {
			ends[one] = name
		}
	}
	return ends
}
