package plan

import "slices"

// Cause is one thing for whose sake a change is done that need not be otherwise: exactly one of Bundle and Task is set.
type Cause struct {
	// Bundle is a bundle that is made of an output: it holds another digest than Not.
	Bundle string `json:"bundle,omitempty"`
	Not    string `json:"not,omitempty"`
	// Task is the workspace of a task that runs only for a cause itself: it ran.
	Task string `json:"task,omitempty"`
}

// address is the change that decides about the cause.
func (c Cause) address() Address {
	if c.Bundle != "" {
		return Address{KindBundle, c.Bundle}
	}
	return Address{KindTask, c.Task}
}

// DependsOn are the changes that decide whether c is needed.
func (c *Change) DependsOn() []Address {
	var list []Address
	for _, cause := range c.If {
		list = append(list, cause.address())
	}
	return list
}

// Facts are what an apply has found out so far, by name in the manifest.
type Facts struct {
	Digests map[string]string // of bundles that are made of outputs
	Ran     map[string]bool   // tasks that ran in this apply
}

// Needed says whether c is to be done once what it waits for is: always, or only when one of its causes holds. It
// depends on its arguments alone, so that a saved plan decides as it did when it was shown.
func (c *Change) Needed(f Facts) bool {
	return len(c.If) == 0 || slices.ContainsFunc(c.If, func(cause Cause) bool {
		if cause.Bundle != "" {
			return f.Digests[cause.Bundle] != cause.Not
		}
		return f.Ran[cause.Task]
	})
}

// onlyIf makes c one that is done only for one of some causes, besides those that it has, and lets it wait until they
// are known.
func (p *planner) onlyIf(c *Change, causes []Cause) {
	for _, cause := range causes {
		if !slices.Contains(c.If, cause) {
			c.If = append(c.If, cause)
		}
		p.addEdge(c, cause.address())
	}
}
