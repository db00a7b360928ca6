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

func (r resolver) Lookup(_ context.Context, name string) (list []netip.Addr, through []string, _ error) {
	for _, a := range r[name] {
		if one, err := netip.ParseAddr(a); err == nil {
			list = append(list, one)
		} else {
			through = append(through, a)
		}
	}
	if list == nil {
		return nil, nil, errors.New("no answer for " + name)
	}
	return list, through, nil
}

func TestConnection(t *testing.T) {
	p, err := policy.New(&spec.Network{
		Allow: []spec.Rule{
			{Name: "api", Host: "api.example.com", Ports: []spec.PortRange{{First: 443, Last: 443}}},
			{Name: "mirror", Suffix: "debian.org", Ports: []spec.PortRange{{First: 80, Last: 80}}},
		},
		Deny: []spec.Rule{
			{Name: "no-ads", Host: "ads.example.net", Ports: []spec.PortRange{spec.AllPorts}, UDP: []spec.PortRange{spec.AllPorts}},
			{Name: "no-half", Host: "half.example.net", Ports: []spec.PortRange{{First: 80, Last: 80}}},
		},
		Peers: []spec.Peer{{Name: "db", Ports: []spec.Port{{Guest: 5432}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := resolver{"api.example.com": {"203.0.113.9", "2001:db8::9"}, "half.debian.org": {"10.0.0.1", "203.0.113.10"}, "bad.debian.org": {"127.0.0.1"}, "own.debian.org": {"203.0.113.1"}, "far.debian.org": {"203.0.113.66"}, "captive.debian.org": {"192.168.1.1", "10.0.0.1"}, "alias.debian.org": {"cdn.example.net", "ads.example.net", "203.0.113.11"}, "half-alias.debian.org": {"half.example.net", "203.0.113.11"}}
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
		{"alias.debian.org", 80, false, "no-ads", 2}, {"half-alias.debian.org", 80, false, "no-half", 3},
		{"169.254.169.254", 80, false, "builtin:metadata", 1},
	} {
		e := Connection(t.Context(), p, here, c.host, c.port, spec.TCP)
		if e.Allowed != c.allowed || e.Rule != c.rule || len(e.Steps) != c.steps || e.Reason == "" {
			t.Errorf("%+v: %+v", c, e)
		}
	}
}
