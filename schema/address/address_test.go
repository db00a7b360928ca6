package address

import (
	"net/netip"
	"strings"
	"testing"
)

func TestOf(t *testing.T) {
	for text, want := range map[string]Class{
		"203.0.113.1": Public, "8.8.8.8": Public, "2001:db8::1": Public, "2606:4700::1": Public, "3fff::1": Public, "2001:200::1": Public,
		"169.254.169.254": Metadata, "::ffff:169.254.169.254": Metadata, "64:ff9b::a9fe:a9fe": Metadata, "fd00:ec2::254": Metadata,
		"fd00:ec2::254%eth0": Metadata, "168.63.129.16": Metadata, "100.100.100.200": Metadata,
		"127.0.0.1": Host, "::1": Host, "::1%lo": Host, "::ffff:127.0.0.1": Host, "::127.0.0.1": Host, "2002:7f00:1::": Host,
		"10.0.0.1": Private, "100.64.0.1": Private, "fd00::1": Private, "172.31.255.255": Private,
		"::ffff:10.0.0.1": Special, "64:ff9b::10.0.0.1": Special, "::ffff:8.8.8.8": Special, "2002:808:808::1": Special,
		"0.0.0.0": Special, "::": Special, "fe80::1": Special, "fe80::1%eth0": Special, "224.0.0.1": Special, "255.255.255.255": Special,
		"198.18.0.1": Special, "4000::1": Special, "::2": Special, "2001::1": Special,
	} {
		if got, what := Of(netip.MustParseAddr(text)); got != want || what == "" {
			t.Errorf("%s is %s, %q; not %s", text, got, what, want)
		}
	}
	if got, _ := Of(netip.Addr{}); got != Special {
		t.Errorf("no address is %s", got)
	}
}

func TestWithin(t *testing.T) {
	for text, want := range map[string]Class{
		"0.0.0.0/0": Public, "::/0": Public, "10.0.0.0/7": Public, "192.0.0.0/8": Public, "203.0.113.0/24": Public, "2001:db8::/32": Public,
		"f000::/4":   Public, // private ones among what is none
		"10.0.0.0/8": Private, "10.1.2.3/32": Private, "fc00::/7": Private, "fd12::/16": Private, "100.64.0.0/10": Private,
		"127.0.0.0/8": Host, "127.0.0.1/32": Host, "::1/128": Host, "169.254.169.254/32": Metadata, "fd00:ec2::254/128": Metadata,
		"169.254.0.0/16": Special, "224.0.0.0/4": Special, "fe80::/10": Special, "64:ff9b::/96": Special, "2002::/16": Special, "4000::/3": Special, "::/96": Special,
	} {
		got, _, ok := Within(netip.MustParsePrefix(text))
		if got != want || ok != (want != Public) {
			t.Errorf("%s is %s, %t; not %s", text, got, ok, want)
		}
	}
}

// FuzzOf: what the standard library knows to be no public address is none here either, and one address has one class.
func FuzzOf(f *testing.F) {
	for _, seed := range []string{"::ffff:127.0.0.1", "2001:db8::1", "64:ff9b::1", "10.0.0.1"} {
		b := netip.MustParseAddr(seed).As16()
		f.Add(b[:])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok := netip.AddrFromSlice(b)
		if !ok {
			return
		}
		class, what := Of(a)
		if class == Public && (a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() || a.Is4In6()) {
			t.Errorf("%s is public", a)
		}
		if a.Is6() && !a.Is4In6() {
			if zoned, _ := Of(a.WithZone("eth0")); zoned != class {
				t.Errorf("%s is %s, with a zone %s", a, class, zoned)
			}
		}
		if strings.Contains(what, "%") {
			t.Errorf("%s is %q", a, what)
		}
		if within, _, ok := Within(netip.PrefixFrom(a, a.BitLen())); ok != (class != Public) || class == Private && within != Private {
			t.Errorf("%s is %s, and alone in a range %s, %t", a, class, within, ok)
		}
	})
}
