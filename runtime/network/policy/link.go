package policy

import (
	"hash/fnv"
	"net/netip"
	"slices"

	"microagent/schema/spec"
)

// Addresses of a guest's own link, in the range that is set aside for benchmarks (RFC 2544) and that no network has. They
// are the same in every workspace, since none sees another's.
var (
	Guest4   = netip.AddrFrom4([4]byte{198, 18, 0, 2})
	Gateway4 = netip.AddrFrom4([4]byte{198, 18, 0, 1}) // answers DNS at port 53
	// Host4 is what spec.HostName resolves to.
	Host4 = netip.AddrFrom4([4]byte{198, 18, 0, 4})
	// Guest6 and Gateway6 are of a unique local prefix (RFC 4193) whose global id is "magent" cut to 40 bits.
	Guest6   = netip.MustParseAddr("fd6d:6167:656e::2")
	Gateway6 = netip.MustParseAddr("fd6d:6167:656e::1")
)

// Link4 and Link6 are all addresses that are of a guest's link and of nothing outside.
var (
	Link4 = netip.MustParsePrefix("198.18.0.0/15")
	Link6 = netip.MustParsePrefix("fd6d:6167:656e::/48")
)

// peerRange is where peers have their addresses, by their names, so that one keeps its own when others come and go.
const peerRange = 1 << 16

func (p *Policy) freePeerAddress(name string) netip.Addr {
	h := fnv.New32a()
	h.Write([]byte(name))
	for n := h.Sum32(); ; n++ {
		n := n % peerRange
		a := netip.AddrFrom4([4]byte{198, 19, byte(n >> 8), byte(n)})
		if !slices.ContainsFunc(p.peers, func(q peer) bool { return q.address == a }) {
			return a
		}
	}
}

func (p *Policy) peerNamed(name string) *peer {
	return firstPeer(p.peers, func(q *peer) bool { return q.Name == name })
}

func (p *Policy) peerAt(a netip.Addr) *peer {
	return firstPeer(p.peers, func(q *peer) bool { return q.address == a })
}

func firstPeer(list []peer, fits func(*peer) bool) *peer {
	for i := range list {
		if fits(&list[i]) {
			return &list[i]
		}
	}
	return nil
}

// Synthetic gives the address that a name has on the link alone, and whether it is such a name: that of the host, or of a
// peer. No resolver is asked for those.
func (p *Policy) Synthetic(name string) (netip.Addr, bool) {
	if name == spec.HostName {
		return Host4, true
	}
	if q := p.peerNamed(name); q != nil {
		return q.address, true
	}
	return netip.Addr{}, false
}
