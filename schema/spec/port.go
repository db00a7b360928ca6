package spec

import (
	"fmt"
	"net/netip"
	"strings"
)

// Protocol is what a port speaks.
type Protocol string

const (
	TCP Protocol = "tcp"
	UDP Protocol = "udp"
)

// Limits of ports.
const (
	// LowestHostPort is the lowest on the host that a manifest may take: those below are the user's own to give.
	LowestHostPort = 1024
	// MostPorts is how many a workspace may have, each of a range counted.
	MostPorts = 1024
	// MostSocketPath is how long the path of a port's socket may be, in bytes: sun_path in unix(7), as those who connect fill it.
	MostSocketPath = 107
)

// Port is a port of the guest's loopback, or some that follow each other, and where the host has it. Without Host, Auto
// and Socket it is not published, only named.
type Port struct {
	Name     string   `json:"name,omitempty"` // its key in a manifest, "" of a flag
	Guest    uint16   `json:"guest"`          // the first
	Count    int      `json:"count,omitempty"`
	Protocol Protocol `json:"protocol,omitempty"` // "" is tcp
	Host     uint16   `json:"host,omitempty"`     // the first; 0 none
	Auto     bool     `json:"auto,omitempty"`     // any that is free, one for each
	// Address is the host's own that is bound; "" is loopback of both families, under one number.
	Address string `json:"address,omitempty"`
	Socket  string `json:"socket,omitempty"` // absolute path of a unix socket on the host
}

// PortState is a published port of a workspace that runs.
type PortState struct {
	Port // a single one, whose Host is the number that it has
	// Listening says that the guest has a server there, when somebody asked.
	Listening bool `json:"listening,omitempty"`
}

// Where is the host's side, as it is connected to: "127.0.0.1:8080" for loopback of both families, "unix:/run/web.sock".
func (p Port) Where() string {
	if p.Socket != "" {
		return "unix:" + p.Socket
	}
	return netip.AddrPortFrom(p.addresses()[0], p.Host).String()
}

// Inside is the guest's side, such as "80/tcp".
func (p Port) Inside() string {
	if p.UDP() {
		return numbers(p.Guest, p.Numbers()) + "/udp"
	}
	return numbers(p.Guest, p.Numbers()) + "/tcp"
}

// Asked is what was published to have p: without the number that an automatic one got.
func (p Port) Asked() Port {
	if p.Auto {
		p.Host = 0
	}
	return p
}

// Numbers is how many ports it is: Count, whose zero is one.
func (p Port) Numbers() int { return max(p.Count, 1) }

// Published says whether the host has it.
func (p Port) Published() bool { return p.Host != 0 || p.Auto || p.Socket != "" }

// UDP says whether it is not of TCP.
func (p Port) UDP() bool { return p.Protocol == UDP }

// Each gives single ports.
func (p Port) Each() []Port {
	var list []Port
	for i := range p.Numbers() {
		one := p
		one.Count, one.Guest = 0, p.Guest+uint16(i)
		if p.Host != 0 {
			one.Host = p.Host + uint16(i)
		}
		list = append(list, one)
	}
	return list
}

// String is p as ParsePort reads it; of one that is not published the guest's side alone.
func (p Port) String() string {
	guest := numbers(p.Guest, p.Numbers())
	if p.UDP() {
		guest += "/udp"
	}
	host := ""
	switch {
	case p.Socket != "":
		return "unix:" + p.Socket + ":" + guest
	case p.Auto:
		host = "auto"
	case p.Host != 0:
		host = numbers(p.Host, p.Numbers())
	default:
		return guest
	}
	if strings.Contains(p.Address, ":") {
		return "[" + p.Address + "]:" + host + ":" + guest
	}
	if p.Address != "" {
		return p.Address + ":" + host + ":" + guest
	}
	return host + ":" + guest
}

func numbers(first uint16, count int) string {
	if count == 1 {
		return fmt.Sprint(first)
	}
	return fmt.Sprintf("%d-%d", first, int(first)+count-1)
}

// CheckPorts says what ports of one workspace can't be, or can't be together: a socket that nobody could connect to, more
// than MostPorts, or two on one port of the host.
func CheckPorts(list []Port) error {
	total := 0
	for i, p := range list {
		if total += p.Numbers(); total > MostPorts {
			return fmt.Errorf("more than %d ports; publish fewer, or have the guest serve them on one", MostPorts)
		}
		if len(p.Socket) > MostSocketPath {
			return fmt.Errorf("the path of the socket %q has %d bytes, where one has %d at most; write a shorter one, such as unix:/tmp/web.sock:%s",
				p.Socket, len(p.Socket), MostSocketPath, numbers(p.Guest, p.Numbers()))
		}
		for _, other := range list[:i] {
			if p.Collides(other) {
				return fmt.Errorf("%s and %s are one port of the host; give each its own, or auto", other, p)
			}
		}
	}
	return nil
}

// Collides says whether both want one port of the host, or one socket.
func (p Port) Collides(other Port) bool {
	if p.Socket != "" {
		return p.Socket == other.Socket
	}
	if p.Host == 0 || other.Host == 0 || p.UDP() != other.UDP() ||
		int(p.Host) >= int(other.Host)+other.Numbers() || int(other.Host) >= int(p.Host)+p.Numbers() {
		return false
	}
	for _, a := range p.addresses() {
		for _, b := range other.addresses() {
			if a.Is4() == b.Is4() && (a == b || a.IsUnspecified() || b.IsUnspecified()) {
				return true
			}
		}
	}
	return false
}

// addresses are those that it binds.
func (p Port) addresses() []netip.Addr {
	if a, err := netip.ParseAddr(p.Address); err == nil {
		return []netip.Addr{a}
	}
	return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
}
