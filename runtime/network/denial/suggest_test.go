package denial

import (
	"slices"
	"strings"
	"testing"

	"microagent/runtime/driver"
	"microagent/schema/quantity"
	"microagent/schema/spec"
)

func TestMissing(t *testing.T) {
	d := func(stage, protocol, address string, port uint16, names, server, rule string) driver.Denial {
		return driver.Denial{Stage: stage, Protocol: protocol, Address: address, Port: port, Names: strings.Fields(names), Server: server, Rule: rule}
	}
	n := &spec.Network{
		Allow: []spec.Rule{{Name: "pypi-org", Host: "old.example", Ports: []spec.PortRange{{First: 443, Last: 443}}}, {Name: "mirror", Suffix: "debian.org", Ports: []spec.PortRange{{First: 443, Last: 443}}}},
		Peers: []spec.Peer{{Name: "cache"}},
	}
	rules, peers := Missing([]driver.Denial{
		d("dns", "", "", 0, "pypi.org", "", "default"),
		d("dns", "", "", 0, "_http._tcp.files.example.com", "", "default"),
		d("tcp", "tcp", "203.0.113.9", 80, "files.example.com", "", "default"),
		d("tcp", "tcp", "203.0.113.9", 8080, "files.example.com", "", "default"),
		d("tcp", "tcp", "203.0.113.9", 8080, "files.example.com", "", "default"),
		d("udp", "udp", "203.0.113.9", 123, "time.example.com", "", "default"),
		d("sni", "tcp", "203.0.113.9", 443, "cdn.example.com", "xn--bcher-kva.example", "default"),
		d("tcp", "tcp", "203.0.113.77", 22, "", "", "default"),
		d("tcp", "tcp", "2001:db8::7", 22, "", "", "default"),
		d("dns", "", "", 0, "deb.debian.org", "", "default"), // allowed by now
		d("tcp", "tcp", "203.0.113.10", 80, "deb.debian.org", "", "default"),
		d("dns", "", "", 0, "sec.debian.org", "", "default"), // allowed by now
		d("dns", "", "", 0, "db", "", "default"), d("dns", "", "", 0, "db", "", "default"), d("dns", "", "", 0, "cache", "", "default"),
		// never
		d("tcp", "tcp", "169.254.169.254", 80, "", "", "builtin:metadata"), d("tcp", "tcp", "10.0.0.1", 80, "", "", "builtin:private"),
		d("answer", "", "127.0.0.1", 0, "rebind.example", "", "builtin:host"), d("udp", "udp", "203.0.113.9", 443, "a.example", "", "builtin:quic"),
		d("dns", "", "", 0, "ads.example", "", "no-ads"), d("dns", "", "", 0, "x.example", "", "limit:dns"), d("dns", "", "", 0, "bad\x01name.example", "", "default"),
		d("dns", "", "", 0, "host.microagent.internal", "", "default"), d("tcp", "tcp", "10.0.0.1", 80, "", "", "default"), d("dns", "", "", 0, "127.1", "", "default"),
	}, n)
	var got []string
	for _, r := range rules {
		got = append(got, r.Name+" "+r.String())
		if _, err := quantity.ParseName(r.Name); err != nil {
			t.Errorf("%s: %v", r.Name, err)
		}
	}
	want := []string{
		"pypi-org-2 host pypi.org:443", "files-example-com host files.example.com:80,8080", "time-example-com host time.example.com:123/udp",
		"xn--bcher-kva-example host xn--bcher-kva.example:443", "a203-0-113-77 cidr 203.0.113.77/32:22", "a2001-db8--7 cidr 2001:db8::7/128:22",
		"deb-debian-org host deb.debian.org:80",
	}
	if !slices.Equal(got, want) || !slices.Equal(peers, []string{"db"}) {
		t.Errorf("%q\n%q\npeers %q", got, want, peers)
	}
	if rules, peers := Missing(nil, nil); rules != nil || peers != nil {
		t.Errorf("of nothing: %+v, %q", rules, peers)
	}
}
