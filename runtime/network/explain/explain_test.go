package explain

import (
	"context"
	"errors"
	"net/netip"
	"syscall"
	"testing"

	"microagent/runtime/network/policy"
	"microagent/schema/spec"
)

type resolver map[string][]string

func (r resolver) LookupNetIP(_ context.Context, _, name string) ([]netip.Addr, error) {
	var list []netip.Addr
	for _, a := range r[name] {
		list = append(list, netip.MustParseAddr(a))
	}
	if list == nil {
		return nil, errors.New("no answer for " + name)
	}
	return list, nil
}

func TestConnection(t *testing.T) {
	p, err := policy.New(&spec.Network{
		Allow: []spec.Rule{
			{Name: "api", Host: "api.example.com", Ports: []spec.PortRange{{First: 443, Last: 443}}},
			{Name: "mirror", Suffix: "debian.org", Ports: []spec.PortRange{{First: 80, Last: 80}}},
		},
		Peers: []spec.Peer{{Name: "db", Ports: []spec.Port{{Guest: 5432}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := resolver{"api.example.com.": {"203.0.113.9", "2001:db8::9"}, "half.debian.org.": {"10.0.0.1", "203.0.113.10"}, "bad.debian.org.": {"127.0.0.1"}, "own.debian.org.": {"203.0.113.1"}, "far.debian.org.": {"203.0.113.66"}, "captive.debian.org.": {"192.168.1.1", "10.0.0.1"}}
	here := Host{Resolver: r, Own: func(a netip.Addr) bool { return a == netip.MustParseAddr("203.0.113.1") }, Route: func(to netip.AddrPort) error {
		if to.Addr() == netip.MustParseAddr("203.0.113.66") {
			return syscall.ENETUNREACH
		}
		return nil
	}}
	for _, c := range []struct {
		host    string
		port    uint16
		allowed bool
		rule    string
		steps   int
	}{
		{"api.example.com", 443, true, "api", 9}, {"api.example.com", 80, false, "default", 5}, {"evil.example", 443, false, "default", 1},
		{"half.debian.org", 80, true, "mirror", 5}, {"bad.debian.org", 80, false, "builtin:host", 2}, {"own.debian.org", 80, false, "builtin:host", 4},
		{"gone.debian.org", 80, false, RuleResolver, 2}, {"db", 5432, true, "peer:db", 2}, {"db", 22, false, "default", 2}, {"203.0.113.9", 443, false, "default", 1},
		{"far.debian.org", 80, false, RuleRoute, 5}, {"captive.debian.org", 80, false, "builtin:private", 3},
		{"169.254.169.254", 80, false, "builtin:metadata", 1},
	} {
		e := Connection(t.Context(), p, here, c.host, c.port, spec.TCP)
		if e.Allowed != c.allowed || e.Rule != c.rule || len(e.Steps) != c.steps || e.Reason == "" {
			t.Errorf("%+v: %+v", c, e)
		}
	}
}
