// Package address says what an IP address is to a host that dials it for somebody else: whether anybody can have it for
// the asking, or it leads into the host, its own networks or nowhere.
//
// It promises one answer for all ways of writing an address: IPv4 inside IPv6 is judged as what it embeds, and never as
// public. It never looks at the host: which addresses its interfaces have is for the caller to know.
package address

import "net/netip"

// Class is what an address is.
type Class string

const (
	Public Class = "public"
	// Metadata is where clouds give instances their credentials.
	Metadata Class = "metadata"
	// Host is the host itself.
	Host Class = "host"
	// Private is a network that only neighbours of the host reach.
	Private Class = "private"
	// Special is what no unicast traffic outside of one link goes to.
	Special Class = "special"
)

// Range is a range of addresses that are not public, and its name in words.
type Range struct {
	Prefix netip.Prefix
	Class  Class
	What   string
}

// ranges are looked at in this order: a single address stands before the range that it lies in. Unless it is said here
// they are of the IANA registries of special-purpose addresses, which RFC 6890 began.
var ranges = []Range{
	// Of the documentation of each cloud.
	{netip.MustParsePrefix("169.254.169.254/32"), Metadata, "the metadata service of a cloud"},
	{netip.MustParsePrefix("169.254.170.2/32"), Metadata, "the metadata service of Amazon ECS"},
	{netip.MustParsePrefix("169.254.170.23/32"), Metadata, "the metadata service of Amazon EKS"},
	{netip.MustParsePrefix("169.254.42.42/32"), Metadata, "the metadata service of Scaleway"},
	{netip.MustParsePrefix("100.100.100.200/32"), Metadata, "the metadata service of Alibaba Cloud"},
	{netip.MustParsePrefix("168.63.129.16/32"), Metadata, "the metadata service of Azure"},
	{netip.MustParsePrefix("192.0.0.192/32"), Metadata, "the metadata service of Oracle Cloud"},
	{netip.MustParsePrefix("fd00:ec2::254/128"), Metadata, "the metadata service of Amazon EC2"},
	{netip.MustParsePrefix("fd00:ec2::23/128"), Metadata, "the metadata service of Amazon EKS"},
	{netip.MustParsePrefix("fd20:ce::254/128"), Metadata, "the metadata service of Google Cloud"},
	{netip.MustParsePrefix("fd00:42::42/128"), Metadata, "the metadata service of Scaleway"},

	{netip.MustParsePrefix("127.0.0.0/8"), Host, "loopback"},
	{netip.MustParsePrefix("::1/128"), Host, "loopback"},

	{netip.MustParsePrefix("10.0.0.0/8"), Private, "private"},
	{netip.MustParsePrefix("172.16.0.0/12"), Private, "private"},
	{netip.MustParsePrefix("192.168.0.0/16"), Private, "private"},
	{netip.MustParsePrefix("100.64.0.0/10"), Private, "shared behind a carrier's NAT"},
	{netip.MustParsePrefix("fc00::/7"), Private, "unique local"},

	{netip.MustParsePrefix("0.0.0.0/8"), Special, "of this network, where 0.0.0.0 is the host itself"},
	{netip.MustParsePrefix("169.254.0.0/16"), Special, "link-local"},
	{netip.MustParsePrefix("192.0.0.0/24"), Special, "for protocols"},
	{netip.MustParsePrefix("192.88.99.0/24"), Special, "of 6to4 relays"},
	{netip.MustParsePrefix("198.18.0.0/15"), Special, "for benchmarks"},
	{netip.MustParsePrefix("224.0.0.0/4"), Special, "multicast"},
	{netip.MustParsePrefix("240.0.0.0/4"), Special, "reserved"},
	{netip.MustParsePrefix("fe80::/10"), Special, "link-local"},
	{netip.MustParsePrefix("fec0::/10"), Special, "site-local"},
	{netip.MustParsePrefix("ff00::/8"), Special, "multicast"},
	{netip.MustParsePrefix("2001::/23"), Special, "for protocols"},
}

// global is what IPv6 has for unicast between networks (RFC 4291, section 2.4).
var global = netip.MustParsePrefix("2000::/3")

// embedding are the ranges of IPv6 whose addresses stand for one of IPv4, which begins at byte at. A translator on the
// way would hand them on.
var embedding = []struct {
	prefix netip.Prefix
	at     int
	flip   bool
	what   string
}{
	{netip.MustParsePrefix("::/96"), 12, false, "IPv4-compatible"},           // RFC 4291, section 2.5.5.1
	{netip.MustParsePrefix("64:ff9b::/96"), 12, false, "NAT64"},              // RFC 6052, section 2.1
	{netip.MustParsePrefix("64:ff9b:1::/48"), 12, false, "NAT64"},            // RFC 8215
	{netip.MustParsePrefix("::ffff:0:0:0/96"), 12, false, "IPv4-translated"}, // RFC 2765, section 2.1
	{netip.MustParsePrefix("2002::/16"), 2, false, "6to4"},                   // RFC 3056, section 2
	{netip.MustParsePrefix("2001::/32"), 12, true, "Teredo"},                 // RFC 4380, section 4: the client's, inverted
}

// Of says what a is, and in words that follow "is". A zone and the mapped form change nothing but the latter.
func Of(a netip.Addr) (Class, string) {
	if !a.IsValid() {
		return Special, "no address"
	}
	a = a.WithZone("")
	if a.Is4In6() {
		return embedded(a.Unmap(), "IPv4-mapped")
	}
	for _, r := range ranges {
		if r.Class != Special && r.Prefix.Contains(a) {
			return r.Class, r.What
		}
	}
	if a.Is6() && !a.IsUnspecified() {
		bytes := a.As16()
		for _, e := range embedding {
			if !e.prefix.Contains(a) {
				continue
			}
			var four [4]byte
			copy(four[:], bytes[e.at:])
			for i := range four {
				if e.flip {
					four[i] ^= 0xff
				}
			}
			return embedded(netip.AddrFrom4(four), e.what)
		}
	}
	for _, r := range ranges {
		if r.Prefix.Contains(a) {
			return r.Class, r.What
		}
	}
	if a.Is6() && !global.Contains(a) {
		return Special, "of no network"
	}
	return Public, "public"
}

// embedded is what an address is that stands for v4: never public and never a network's own, since no packet has to go
// that way.
func embedded(v4 netip.Addr, form string) (Class, string) {
	class, what := Of(v4)
	if class == Public || class == Private {
		class = Special
	}
	return class, form + " for " + v4.String() + ", which is " + what
}

// Within says of what class all of p is, if it is of one that is not public, and in which words.
func Within(p netip.Prefix) (Class, string, bool) {
	if p.Addr().Is4In6() {
		class, what := Of(p.Addr())
		return class, what, true
	}
	for _, r := range ranges {
		if r.Prefix.Bits() <= p.Bits() && r.Prefix.Contains(p.Addr()) {
			return r.Class, r.What, true
		}
	}
	for _, e := range embedding {
		if e.prefix.Bits() <= p.Bits() && e.prefix.Contains(p.Addr()) {
			return Special, e.what, true
		}
	}
	if p.Addr().Is6() && !p.Overlaps(global) {
		overlapsPrivate := false
		for _, r := range ranges {
			overlapsPrivate = overlapsPrivate || r.Class == Private && r.Prefix.Overlaps(p)
		}
		if !overlapsPrivate {
			return Special, "of no network", true
		}
	}
	return Public, "public", false
}
