package netrule

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"microagent/schema/spec"
)

func port(first, last uint16) spec.PortRange { return spec.PortRange{First: first, Last: last} }

func TestParseGrant(t *testing.T) {
	for text, want := range map[string]spec.Grant{
		"pypi.org":                      {Host: "pypi.org"},
		"PyPI.org.":                     {Host: "pypi.org"},
		"pypi.org:443":                  {Host: "pypi.org", Ports: []spec.PortRange{port(443, 443)}},
		"bücher.example:80,8000-8010":   {Host: "xn--bcher-kva.example", Ports: []spec.PortRange{port(80, 80), port(8000, 8010)}},
		"time.example.com:123/udp":      {Host: "time.example.com", Ports: []spec.PortRange{port(123, 123)}, UDP: true},
		".debian.org:80":                {Suffix: "debian.org", Ports: []spec.PortRange{port(80, 80)}},
		"192.168.7.0/24":                {CIDR: "192.168.7.0/24"},
		"192.168.7.9":                   {CIDR: "192.168.7.9/32"},
		"192.168.7.9:22":                {CIDR: "192.168.7.9/32", Ports: []spec.PortRange{port(22, 22)}},
		"fd00::/8":                      {CIDR: "fd00::/8"},
		"[fd00::/8]:80":                 {CIDR: "fd00::/8", Ports: []spec.PortRange{port(80, 80)}},
		"2001:db8::1":                   {CIDR: "2001:db8::1/128"},
		"[2001:db8::1]":                 {CIDR: "2001:db8::1/128"},
		"host:8080":                     {Loopback: true, Ports: []spec.PortRange{port(8080, 8080)}},
		"host.microagent.internal:8080": {Loopback: true, Ports: []spec.PortRange{port(8080, 8080)}},
		"0.0.0.0/0":                     {CIDR: "0.0.0.0/0"},
	} {
		got, err := ParseGrant(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; not %+v", text, got, err, want)
		}
		if again, err := ParseGrant(got.String()); err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("%s is written as %s and read as %+v, %v", text, got, again, err)
		}
	}
	for text, want := range map[string]string{
		"": "is empty", "host": "opens all of the host", "*": "has a *", "*.debian.org": "has a *", ".": "is empty",
		"127.0.0.1": "host: host.microagent.internal", "127.0.0.1:80": "is loopback", "::1": "is loopback", "[::1]:80": "is loopback",
		"169.254.169.254": "is never reached", "224.0.0.1": "is never reached", "::ffff:10.0.0.1": "writes IPv4 as IPv6", "fe80::/10": "is never reached",
		"10.0.0.1/8": "write 10.0.0.0/8", "pypi.org:": "no port after its colon", "pypi.org:0": "as a port", "pypi.org:x": "as a port", "pypi.org:80,": "as a port",
		"pypi.org:443/udp": "QUIC", "pypi.org:1-70000": "as a port", "[pypi.org]:80": "brackets around no address", "[::1": "brackets", "https://pypi.org": "", "a b": "is no name",
		".host.microagent.internal": "inside this host", ".internal": "inside this host",
	} {
		got, err := ParseGrant(text)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "; write ") {
			t.Errorf("%q is %+v, %v", text, got, err)
		}
	}
}

func TestRuleTexts(t *testing.T) {
	for _, c := range []struct {
		read       func(string) (string, error)
		text, want string
	}{
		{Host, "API.example.com.", "api.example.com"}, {Suffix, ".debian.org", "debian.org"}, {Suffix, "*.debian.org", "debian.org"},
		{CIDR, "192.0.2.7", "192.0.2.7/32"}, {CIDR, "10.0.0.0/8", "10.0.0.0/8"}, {CIDR, "::/0", "::/0"},
	} {
		if got, err := c.read(c.text); err != nil || got != c.want {
			t.Errorf("%s is %s, %v; not %s", c.text, got, err, c.want)
		}
	}
	for _, c := range []struct {
		read            func(string) (string, error)
		text, key, want string
	}{
		{Host, "192.0.2.7", "host", "write cidr: 192.0.2.7"}, {Host, "*.debian.org", "host", "write suffix: debian.org"}, {Host, "*", "host", "has a *"},
		{Suffix, "host.microagent.internal", "suffix", "write host: host.microagent.internal"}, {Suffix, "*", "suffix", "is empty"},
		{CIDR, "10.0.0.1/8", "cidr", "write 10.0.0.0/8"}, {CIDR, "x", "cidr", "no range"}, {CIDR, "fe80::1%eth0", "cidr", "no range"}, {CIDR, "127.0.0.0/8", "cidr", "host: host.microagent.internal"},
	} {
		got, err := c.read(c.text)
		var e *Error
		if !errors.As(err, &e) || e.Key != c.key || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s is %s, %v", c.text, got, err)
		}
	}
}

func TestAsksAndGranted(t *testing.T) {
	rule := func(text string) spec.Rule {
		g, err := ParseGrant(text)
		if err != nil {
			t.Fatal(err)
		}
		return OfGrant(g)
	}
	for text, want := range map[string]string{
		"api.example.com": "", "192.0.2.0/24:80": "", "0.0.0.0/0": "", "10.0.0.0/7": "", "f000::/4": "",
		"192.168.7.0/24:5432": "192.168.7.0/24:5432", "fd00::/8": "[fd00::/8]:443", "host:8080,9090": "host:8080,9090", "100.64.0.0/16": "100.64.0.0/16:443",
	} {
		asked := Asks(rule(text))
		if asked == nil && want != "" || asked != nil && asked.String() != want {
			t.Errorf("%s asks for %v", text, asked)
		}
	}
	for _, c := range []struct {
		asks, grants string
		want         bool
	}{
		{"192.168.7.0/24:5432", "192.168.7.0/24", true}, {"192.168.7.0/24:5432", "192.168.0.0/16:5432", true}, {"192.168.7.0/24:5432", "192.168.7.0/25", false},
		{"192.168.7.0/24:5432,22", "192.168.7.0/24:22 192.168.7.0/24:5432", true}, {"192.168.7.0/24:5432,22", "192.168.7.0/24:22", false},
		{"192.168.7.0/24:5432", "", false}, {"192.168.7.0/24:5432", "host:5432", false}, {"host:8080", "host:8080", true}, {"host:8080", "host:8081 10.0.0.0/8", false},
		{"host:8080-8082", "host:8080,8082 host:8081", true},
	} {
		var grants []spec.Grant
		for text := range strings.FieldsSeq(c.grants) {
			g, err := ParseGrant(text)
			if err != nil {
				t.Fatal(err)
			}
			grants = append(grants, g)
		}
		if got := Granted(*Asks(rule(c.asks)), grants); got != c.want {
			t.Errorf("%s is granted by %q: %t", c.asks, c.grants, got)
		}
	}
}

func FuzzParseGrant(f *testing.F) {
	for _, seed := range []string{"pypi.org:80,443", ".debian.org", "[fd00::/8]:80", "host:1", "10.0.0.0/8:22/udp"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		g, err := ParseGrant(text)
		if err != nil {
			return
		}
		if again, err := ParseGrant(g.String()); err != nil || !reflect.DeepEqual(again, g) {
			t.Errorf("%q is %+v, written %s, and that is %+v, %v", text, g, g, again, err)
		}
	})
}
