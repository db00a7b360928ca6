package schema

import (
	"slices"

	"microagent/schema/diag"
)

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

// NameNow is the name that an object has in m that had another: it may have moved more than once.
func (m *Manifest) NameNow(kind, name string) string {
	for range m.Moved { // the loader refuses a circle
		i := slices.IndexFunc(m.Moved, func(one Moved) bool {
			of, from := one.Of()
			return of == kind && from == name
		})
		if i < 0 {
			break
		}
		name = m.Moved[i].To
	}
	return name
}

// NamesBefore are the names that an object of m had before, in the order of moved.
func (m *Manifest) NamesBefore(kind, name string) []string {
	var list []string
	for _, one := range m.Moved {
		if of, from := one.Of(); of == kind && from != name && m.NameNow(kind, from) == name {
			list = append(list, from)
		}
	}
	return list
}
