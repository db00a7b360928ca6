package spec

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// HostName is the name by which a guest reaches the loopback of its host, where the user grants a port of it.
const HostName = "host.microagent.internal"

// Network is what a workspace may reach outside itself. What no rule allows is denied; a workspace without a Network has
// no network at all.
type Network struct {
	Allow []Rule `json:"allow,omitempty"`
	// Deny beats Allow, whatever their order.
	Deny []Rule `json:"deny,omitempty"`
	// Peers are workspaces of the same project, sorted by name.
	Peers []Peer `json:"peers,omitempty"`
	// Grants are the user's: what a manifest can't open by itself.
	Grants []Grant `json:"grants,omitempty"`
}

// Rule is destinations and ports: exactly one of Host, Suffix, CIDR and Group, of which names are lower-case A-labels
// without a dot at their end.
type Rule struct {
	Name   string      `json:"name"` // what records of denials say; unique within a Network
	Host   string      `json:"host,omitempty"`
	Suffix string      `json:"suffix,omitempty"` // the name itself and all below it
	CIDR   string      `json:"cidr,omitempty"`   // masked
	Group  Group       `json:"group,omitempty"`
	Ports  []PortRange `json:"ports,omitempty"` // of TCP
	UDP    []PortRange `json:"udp,omitempty"`
	// TLS is of rules by name: whether the server's name in a TLS handshake must be one that may be reached. nil is yes on
	// port 443 and no elsewhere.
	TLS *bool `json:"tls,omitempty"`
}

// Group is a set of addresses that has a name.
type Group string

// GroupPublic is every public address: never a private one, one of the host or of a cloud's metadata.
const GroupPublic Group = "public"

// Peer is a workspace that may be reached by its name, at its declared ports alone.
type Peer struct {
	Name  string `json:"name"` // as the guest asks for it
	ID    string `json:"id"`   // its name on disk
	Ports []Port `json:"ports,omitempty"`
}

// Grant is what a user opens by --allow-net: one of Host, Suffix, CIDR and Loopback, at Ports, which are all when empty.
type Grant struct {
	Host   string `json:"host,omitempty"`
	Suffix string `json:"suffix,omitempty"`
	CIDR   string `json:"cidr,omitempty"` // masked
	// Loopback is the host itself, by HostName.
	Loopback bool        `json:"loopback,omitempty"`
	Ports    []PortRange `json:"ports,omitempty"` // of TCP and UDP
	// UDP says that the rule that it is without a manifest is of UDP.
	UDP bool `json:"udp,omitempty"`
}

// PortRange is ports that follow each other, both ends counted.
type PortRange struct{ First, Last uint16 }

// AllPorts are those from 1 to 65535.
var AllPorts = PortRange{1, 65535}

// String is "443" or "8000-8010".
func (r PortRange) String() string {
	if r.First == r.Last {
		return fmt.Sprint(r.First)
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// MarshalText writes what String gives.
func (r PortRange) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads what MarshalText gives, also of a range that ends before it begins, which holds nothing.
func (r *PortRange) UnmarshalText(text []byte) (err error) {
	from, to, isRange := strings.Cut(string(text), "-")
	if r.First, err = parseNumber(from); err != nil {
		return err
	}
	if r.Last = r.First; isRange {
		r.Last, err = parseNumber(to)
	}
	return err
}

// ParsePortRange reads "443" and "8000-8010".
func ParsePortRange(text string) (PortRange, error) {
	from, to, isRange := strings.Cut(text, "-")
	first, err := parseNumber(from)
	if err != nil || !isRange {
		return PortRange{first, first}, err
	}
	last, err := parseNumber(to)
	if err == nil && last < first {
		err = fmt.Errorf("the range %s ends before it begins", text)
	}
	return PortRange{first, last}, err
}

// Holds says whether port is one of r.
func (r PortRange) Holds(port uint16) bool { return r.First <= port && port <= r.Last }

// HoldsPort says whether port is one of list.
func HoldsPort(list []PortRange, port uint16) bool {
	return slices.ContainsFunc(list, func(r PortRange) bool { return r.Holds(port) })
}

// ChecksName says whether the name of a TLS handshake to port must be one that may be reached.
func (r *Rule) ChecksName(port uint16) bool {
	switch {
	case r.Host == "" && r.Suffix == "" || r.Host == HostName:
		return false
	case r.TLS != nil:
		return *r.TLS
	}
	return port == 443
}

// What is the destination as it is written: "host api.example.com", "suffix debian.org", "cidr 192.0.2.0/24", "group public".
func (r *Rule) What() string {
	switch {
	case r.Host != "":
		return "host " + r.Host
	case r.Suffix != "":
		return "suffix " + r.Suffix
	case r.CIDR != "":
		return "cidr " + r.CIDR
	}
	return "group " + string(r.Group)
}

// String is What with the ports: "suffix debian.org:80,443", "host time.example.com:123/udp".
func (r *Rule) String() string {
	var ports []string
	for _, p := range r.Ports {
		ports = append(ports, p.String())
	}
	for _, p := range r.UDP {
		ports = append(ports, p.String()+"/udp")
	}
	text := r.What() + ":" + strings.Join(ports, ",")
	if slices.Contains(r.Ports, AllPorts) && slices.Contains(r.UDP, AllPorts) {
		text = r.What() + " at any port"
	}
	if r.TLS != nil {
		text += fmt.Sprintf(" tls %t", *r.TLS)
	}
	return text
}

// String is the text that --allow-net takes.
func (g Grant) String() string {
	text := g.Host
	switch {
	case g.Loopback:
		text = "host"
	case g.Suffix != "":
		text = "." + g.Suffix
	case g.CIDR != "":
		text = g.CIDR
	}
	for i, p := range g.Ports {
		if i == 0 {
			if g.CIDR != "" && strings.Contains(g.CIDR, ":") {
				text = "[" + text + "]"
			}
			text += ":"
		} else {
			text += ","
		}
		text += p.String()
	}
	if g.UDP {
		text += "/udp"
	}
	return text
}

// Covers says whether g opens all that a range of addresses and its ports ask for.
func (g Grant) Covers(cidr netip.Prefix, ports []PortRange) bool {
	own, err := netip.ParsePrefix(g.CIDR)
	return err == nil && own.Bits() <= cidr.Bits() && own.Contains(cidr.Addr()) && g.CoversPorts(ports)
}

// CoversPorts says whether g opens all of ports.
func (g Grant) CoversPorts(ports []PortRange) bool {
	if len(g.Ports) == 0 {
		return true
	}
	for _, p := range ports {
		for port := int(p.First); port <= int(p.Last); port++ {
			if !HoldsPort(g.Ports, uint16(port)) {
				return false
			}
		}
	}
	return true
}
