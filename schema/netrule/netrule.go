// Package netrule reads what a workspace may reach, from a manifest and from the command line, and says what of it is the
// user's to grant.
//
// It promises that a rule that it gives is whole: one destination in the form that names and ranges are compared in, and
// its ports with their defaults. It never takes what could not be reached anyway for a rule: such a mistake is told where
// it is made.
package netrule

import (
	"fmt"
	"net/netip"
	"strings"

	"microagent/schema/address"
	"microagent/schema/dnsname"
	"microagent/schema/spec"
)

// Error says of a text what is wrong with it and what to write.
type Error struct {
	Key   string // of a rule in a manifest: the key that Text is the value of
	Text  string
	Why   string // completes "TEXT ..."
	Write string // completes "write ..."
}

func (e *Error) Error() string { return fmt.Sprintf("%q %s; write %s", e.Text, e.Why, e.Write) }

// What completes "write ..." for each kind of text.
const (
	WantHost   = "a name such as api.example.com; an address is a cidr"
	WantSuffix = "the name that ends all of them, such as debian.org"
	WantCIDR   = "an address or a range, such as 192.0.2.0/24 or 2001:db8::/32"
	WantPort   = "a number from 1 to 65535, or a range such as 8000-8010"
	WantGrant  = "HOST, .SUFFIX, an address or a range, or host:PORT, such as pypi.org, .debian.org:80,443, 192.168.7.0/24 or host:8080"
)

// Host reads a rule's host. The host's own name is one.
func Host(text string) (string, error) {
	name, err := dnsname.Parse(text)
	switch {
	case err != nil && err.Error() == "is an address":
		return "", &Error{Key: "host", Text: text, Why: "is an address", Write: "cidr: " + strings.Trim(text, "[].")}
	case err != nil && strings.HasPrefix(text, "*."):
		return "", &Error{Key: "host", Text: text, Why: err.Error(), Write: "suffix: " + text[2:] + ", which is that name and all below it"}
	case err != nil:
		return "", &Error{Key: "host", Text: text, Why: err.Error(), Write: WantHost}
	}
	return name, nil
}

// Suffix reads a rule's suffix, with or without a dot before it.
func Suffix(text string) (string, error) {
	bare := strings.TrimPrefix(strings.TrimPrefix(text, "*"), ".")
	name, err := dnsname.Parse(bare)
	switch {
	case err != nil:
		return "", &Error{Key: "suffix", Text: text, Why: err.Error(), Write: WantSuffix}
	case dnsname.Within(spec.HostName, name):
		return "", &Error{Key: "suffix", Text: text, Why: "is of names inside this host", Write: "host: " + spec.HostName + " for the host itself"}
	}
	return name, nil
}

// CIDR reads a range, or an address as a range of one. What is never reached is refused; what is private is the user's to
// grant, as Asks says.
func CIDR(text string) (string, error) {
	wrong := func(why, write string) error { return &Error{Key: "cidr", Text: text, Why: why, Write: write} }
	p, err := netip.ParsePrefix(text)
	if err != nil {
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" {
			return "", wrong("is no range of addresses", WantCIDR)
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if p.Addr().Is4In6() {
		return "", wrong("writes IPv4 as IPv6", "the range of IPv4 itself")
	}
	if p != p.Masked() {
		return "", wrong("has bits outside its prefix", p.Masked().String())
	}
	switch class, what, ok := address.Within(p); {
	case !ok || class == address.Private:
		return p.String(), nil
	case class == address.Host:
		return "", wrong("is "+what, "host: "+spec.HostName+" for a port of the host itself, which --allow-net host:PORT grants")
	default:
		return "", wrong("is "+what+", which is never reached", WantCIDR)
	}
}

// Port reads one port or range of a rule.
func Port(key, text string) (spec.PortRange, error) {
	r, err := spec.ParsePortRange(text)
	if err != nil {
		return r, &Error{Key: key, Text: text, Why: "is no port", Write: WantPort}
	}
	if key == "udp" && r.Holds(443) {
		return r, &Error{Key: key, Text: text, Why: "has 443, where QUIC is, which hides the name of its server and is refused", Write: "ports: [443]; clients fall back to TCP"}
	}
	return r, nil
}

// Default gives an allow rule the ports that it has when it says none, and a deny rule all of them.
func Default(r *spec.Rule, denies bool) {
	switch {
	case len(r.Ports) > 0 || len(r.UDP) > 0:
	case denies:
		r.Ports, r.UDP = []spec.PortRange{spec.AllPorts}, []spec.PortRange{spec.AllPorts}
	default:
		r.Ports = []spec.PortRange{{First: 443, Last: 443}}
	}
}

// ParseGrant reads what --allow-net takes: HOST, .SUFFIX, an address or range, or the word host, each with :PORTS after
// it, which are numbers and ranges with commas between them. An IPv6 address is in brackets before a colon.
func ParseGrant(text string) (spec.Grant, error) {
	wrong := func(why, write string) error { return &Error{Text: text, Why: why, Write: write} }
	to, ports, err := cutPorts(text)
	if err != nil {
		return spec.Grant{}, wrong(err.Error(), WantGrant)
	}
	g := spec.Grant{}
	if ports != "" {
		if rest, ok := strings.CutSuffix(ports, "/udp"); ok {
			g.UDP, ports = true, rest
		}
		for one := range strings.SplitSeq(strings.TrimSuffix(ports, "/tcp"), ",") {
			key := "ports"
			if g.UDP {
				key = "udp"
			}
			r, err := Port(key, one)
			if e, ok := err.(*Error); ok {
				return spec.Grant{}, wrong("has "+one+" as a port, which "+e.Why, WantGrant)
			}
			g.Ports = append(g.Ports, r)
		}
	}
	switch {
	case to == "host" || to == spec.HostName:
		if len(g.Ports) == 0 {
			return spec.Grant{}, wrong("opens all of the host", "host:PORT, such as host:8080")
		}
		g.Loopback = true
	case strings.HasPrefix(to, "."):
		if g.Suffix, err = Suffix(to); err != nil {
			return spec.Grant{}, wrong(err.(*Error).Why, ".SUFFIX, such as .debian.org")
		}
	case isRange(to):
		if g.CIDR, err = CIDR(to); err != nil {
			return spec.Grant{}, wrong(err.(*Error).Why, err.(*Error).Write)
		}
	default:
		if g.Host, err = dnsname.Parse(to); err != nil {
			return spec.Grant{}, wrong(err.Error(), WantGrant)
		}
	}
	return g, nil
}

// cutPorts cuts the ports off.
func cutPorts(text string) (to, ports string, err error) {
	if rest, ok := strings.CutPrefix(text, "["); ok {
		to, after, closed := strings.Cut(rest, "]")
		ports, colon := strings.CutPrefix(after, ":")
		if !closed || after != "" && !colon || !strings.Contains(to, ":") || colon && ports == "" {
			return "", "", fmt.Errorf("has brackets around no address of IPv6")
		}
		return to, ports, nil
	}
	if strings.Count(text, ":") > 1 && isRange(text) {
		return text, "", nil
	}
	to, ports, colon := strings.Cut(text, ":")
	if colon && ports == "" {
		return "", "", fmt.Errorf("has no port after its colon")
	}
	return to, ports, nil
}

func isRange(text string) bool {
	if _, err := netip.ParsePrefix(text); err == nil {
		return true
	}
	_, err := netip.ParseAddr(text)
	return err == nil
}

// OfGrant is the rule that a grant is where no manifest has rules: for run, create and start.
func OfGrant(g spec.Grant) spec.Rule {
	r := spec.Rule{Name: "--allow-net " + g.String(), Host: g.Host, Suffix: g.Suffix, CIDR: g.CIDR}
	if g.Loopback {
		r.Host = spec.HostName
	}
	if g.UDP {
		r.UDP = g.Ports
	} else {
		r.Ports = g.Ports
	}
	Default(&r, false)
	return r
}

// Public is the rule of --net public.
func Public() spec.Rule {
	return spec.Rule{Name: "--net public", Group: spec.GroupPublic, Ports: []spec.PortRange{spec.AllPorts}, UDP: []spec.PortRange{spec.AllPorts}}
}

// Asks gives the grant that a rule needs before anything that it names can be reached, nil when it needs none.
func Asks(r spec.Rule) *spec.Grant {
	ports := append(append([]spec.PortRange(nil), r.Ports...), r.UDP...)
	if r.Host == spec.HostName {
		return &spec.Grant{Loopback: true, Ports: ports}
	}
	p, err := netip.ParsePrefix(r.CIDR)
	if err != nil {
		return nil
	}
	if class, _, ok := address.Within(p); ok && class == address.Private {
		return &spec.Grant{CIDR: r.CIDR, Ports: ports}
	}
	return nil
}

// Concerns says whether a grant is about what a rule names: all of it, or a part.
func Concerns(g spec.Grant, r spec.Rule) bool {
	if g.Loopback || r.Host == spec.HostName {
		return g.Loopback && r.Host == spec.HostName
	}
	mine, errMine := netip.ParsePrefix(g.CIDR)
	theirs, errTheirs := netip.ParsePrefix(r.CIDR)
	switch {
	case errMine == nil && errTheirs == nil:
		return mine.Overlaps(theirs)
	case errMine == nil: // of an address that a name may have
		return r.Host != "" || r.Suffix != ""
	case g.Host != "":
		return r.Host == g.Host || r.Suffix != "" && dnsname.Within(g.Host, r.Suffix)
	}
	return g.Suffix != "" && (r.Suffix == g.Suffix || r.Host != "" && dnsname.Within(r.Host, g.Suffix))
}

// Granted says whether grants open all that is asked. Each port may be of another grant.
func Granted(asked spec.Grant, grants []spec.Grant) bool {
	cidr, _ := netip.ParsePrefix(asked.CIDR)
	for _, r := range asked.Ports {
		for port := int(r.First); port <= int(r.Last); port++ {
			one := []spec.PortRange{{First: uint16(port), Last: uint16(port)}}
			open := false
			for _, g := range grants {
				open = open || asked.Loopback && g.Loopback && g.CoversPorts(one) || !asked.Loopback && g.Covers(cidr, one)
			}
			if !open {
				return false
			}
		}
	}
	return true
}
