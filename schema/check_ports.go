package schema

import (
	"errors"
	"fmt"

	"microagent/schema/spec"
)

// declaredPort is a port with the place that it is declared at.
type declaredPort struct {
	spec.Port
	at address
}

// checkPorts checks every port by itself, and those of all workspaces with each other: the host has one of each number.
func (c *checker) checkPorts() {
	var published []declaredPort
	for name, w := range c.section("workspaces") {
		if w.bad || w.value.bad {
			continue
		}
		total := 0
		at := address{"workspaces", name, "ports"}
		for key, e := range each(w.value.get("ports")) {
			if e.bad || e.value.bad {
				continue
			}
			p, ok := c.checkPort(at.with(key), key, e.value)
			if !ok {
				continue
			}
			if total += p.Numbers(); total > spec.MostPorts {
				c.error(e.at, "too_many", fmt.Sprintf("%s are more than %d", at, spec.MostPorts), "leave some out, or have the guest serve them on one")
				break
			}
			for _, other := range published {
				if p.Collides(other.Port) {
					c.error(e.value.at, "port_conflict", fmt.Sprintf("%s takes port %d of the host as %s does", at.with(key), max(p.Host, other.Host), other.at),
						"give each its own, or write host: auto")
					break
				}
			}
			published = append(published, declaredPort{p, at.with(key)})
		}
	}
}

// checkPort reads a port. What the patterns let through and is none is reported at the value that it is about.
func (c *checker) checkPort(at address, name string, n *node) (spec.Port, bool) {
	text := func(key string) string {
		if v := n.get(key); v != nil && !v.bad {
			return v.text
		}
		return ""
	}
	for _, key := range []string{"guest", "host", "protocol"} {
		if v := n.get(key); v != nil && v.bad {
			return spec.Port{}, false
		}
	}
	p, err := spec.ManifestPort(name, text("guest"), text("host"), text("protocol"))
	wrong, ok := errors.AsType[*spec.PortError](err)
	if !ok {
		return p, err == nil
	}
	for _, key := range []string{"host", "guest", "protocol"} {
		if v := n.get(key); v != nil && v.text == wrong.Text {
			c.error(v.at, "bad_value", at.with(key).String()+": "+quote(wrong.Text)+" "+wrong.Why, "write "+wrong.Write)
			break
		}
	}
	return spec.Port{}, false
}
