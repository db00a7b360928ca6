package dns

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"golang.org/x/net/dns/dnsmessage"
)

// Resolver finds names; it may be asked by many at once.
type Resolver interface {
	// Lookup gives the addresses of a name, of both families, and the names that it leads through (CNAME). All names are whole,
	// without a dot at their ends.
	Lookup(ctx context.Context, name string) (addresses []netip.Addr, through []string, err error)
}

// Host is the host's resolver: /etc/hosts, and the servers of /etc/resolv.conf.
type Host struct {
	connect func(ctx context.Context, network, server string) (net.Conn, error) // to a server; nil for the host's way
}

// mostAliases is how many names an answer may lead through.
const mostAliases = 64

// Lookup asks as Go does, and reads in the responses what Go keeps to itself.
func (h Host) Lookup(ctx context.Context, name string) (addresses []netip.Addr, through []string, err error) {
	seen := &aliases{}
	connect := h.connect
	if connect == nil {
		connect = new(net.Dialer).DialContext
	}
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, server string) (net.Conn, error) {
		c, err := connect(ctx, network, server)
		if err != nil {
			return nil, err
		}
		if udp, ok := c.(*net.UDPConn); ok {
			return &datagrams{udp, seen}, nil
		}
		return &stream{Conn: c, seen: seen}, nil
	}}
	addresses, err = r.LookupNetIP(ctx, "ip", name+".") // with the dot no search domain of the host's is tried
	if err != nil {
		return nil, nil, err
	}
	if through = seen.all(); len(through) > mostAliases {
		return nil, nil, fmt.Errorf("%s is an alias of more than %d names", name, mostAliases)
	}
	return addresses, through, nil
}

// aliases are those in the responses of one lookup, whose questions are asked at the same time.
type aliases struct {
	mu    sync.Mutex
	names []string
}

func (a *aliases) all() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.names
}

// read looks at one response. Of one that can't be read it takes what stands before.
func (a *aliases) read(response []byte) {
	var p dnsmessage.Parser
	h, err := p.Start(response)
	if err != nil || !h.Response || p.SkipAllQuestions() != nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.names) <= mostAliases {
		h, err := p.AnswerHeader()
		if err != nil {
			return
		}
		if h.Type != dnsmessage.TypeCNAME {
			if p.SkipAnswer() != nil {
				return
			}
			continue
		}
		r, err := p.CNAMEResource()
		if err != nil {
			return
		}
		if name := strings.TrimSuffix(r.CNAME.String(), "."); !slices.Contains(a.names, name) {
			a.names = append(a.names, name)
		}
	}
}

// datagrams is a connection of which each read is a response.
type datagrams struct {
	*net.UDPConn // Go asks by datagrams whatever is a net.PacketConn
	seen         *aliases
}

func (c *datagrams) Read(b []byte) (int, error) {
	n, err := c.UDPConn.Read(b)
	if err == nil {
		c.seen.read(b[:n])
	}
	return n, err
}

// stream is a connection with responses after two bytes of their length (RFC 1035, section 4.2.2).
type stream struct {
	net.Conn
	seen *aliases
	have []byte // of what was read, from the last length on
}

func (c *stream) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.have = append(c.have, b[:n]...)
	for len(c.have) >= 2 {
		end := 2 + int(binary.BigEndian.Uint16(c.have))
		if len(c.have) < end {
			break
		}
		c.seen.read(c.have[2:end])
		c.have = c.have[end:]
	}
	return n, err
}
