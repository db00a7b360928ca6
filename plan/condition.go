package plan

import "slices"

// Cause is that for whose sake a change is done which need not be otherwise: a bundle that is made of an output holds
// another digest than Not.
type Cause struct {
	Bundle string `json:"bundle"` // in the manifest
	Not    string `json:"not"`
}

// address is the change that decides about the cause.
func (c Cause) address() Address { return Address{KindBundle, c.Bundle} }

// DependsOn are the changes that decide whether c is needed.
func (c *Change) DependsOn() []Address {
	var list []Address
	for _, cause := range c.If {
		list = append(list, cause.address())
	}
	return list
}

// Needed says whether c is to be done once what it waits for is: always, or only when one of its causes holds. Digests
// are what bundles that are made of outputs hold, as far as an apply has found out. It depends on its arguments alone, so
// that a saved plan decides as it did when it was shown.
func (c *Change) Needed(digests map[string]string) bool {
	return len(c.If) == 0 || slices.ContainsFunc(c.If, func(cause Cause) bool { return digests[cause.Bundle] != cause.Not })
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

// needs says that c waits for another change, be it by way of others.
func (p *planner) needs(c, other *Change) bool {
	seen := map[Address]bool{}
	for open := []*Change{c}; len(open) > 0; {
		c, open = open[len(open)-1], open[:len(open)-1]
		if c == other {
			return true
		}
		for _, dep := range c.Needs() {
			if next := p.at[dep]; next != nil && !seen[dep] {
				seen[dep] = true
				open = append(open, next)
			}
		}
	}
	return false
}
