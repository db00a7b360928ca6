package policy

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"microagent/schema/dnsname"
	"microagent/schema/spec"
)

// TestTable asks what stands in testdata: lines of rules, and below them lines that begin with ? and end with what is
// decided: the rule's name, with ! before it when it denies, tls after it when the handshake's name is to be checked, and
// host or peer after it when that is where it leads.
func TestTable(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no tables: %v", err)
	}
	rows := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		n, asked := &spec.Network{}, false
		for i, line := range strings.Split(string(data), "\n") {
			where := fmt.Sprintf("%s:%d: %s", file, i+1, line)
			words := strings.Fields(line)
			if len(words) == 0 || words[0] == "#" {
				continue
			}
			if words[0] != "?" {
				if asked {
					n, asked = &spec.Network{}, false
				}
				addRow(t, where, n, words)
				continue
			}
			asked = true
			rows++
			p, err := New(n)
			if err != nil {
				t.Fatalf("%s: %v", where, err)
			}
			stage, to, want := words[1], words[2:slices.Index(words, "->")], words[slices.Index(words, "->")+1:]
			v := ask(t, where, p, stage, to)
			if got := short(v); got != strings.Join(want, " ") {
				t.Errorf("%s\n\tgives %s: %s", where, got, v.Reason)
			}
			if v.Reason == "" || v.Rule == "" || v.Stage == "" {
				t.Errorf("%s: %+v says not why", where, v)
			}
		}
	}
	if rows < 300 {
		t.Errorf("the tables have %d rows alone", rows)
	}
}

func short(v Verdict) string {
	text := v.Rule
	if !v.Allowed {
		text = "!" + text
	}
	if v.CheckName {
		text += " tls"
	}
	if v.Route == RouteHost || v.Route == RoutePeer {
		text += " " + string(v.Route)
	}
	return text
}

// addRow reads "allow NAME KIND VALUE [PORTS] [udp PORTS] [tls BOOL]", "grant TEXT" and "peer NAME PORTS".
func addRow(t *testing.T, where string, n *spec.Network, words []string) {
	t.Helper()
	fail := func(err error) {
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
	}
	switch words[0] {
	case "none":
	case "grant":
		g, err := spec.Grant{}, error(nil)
		to, ports, _ := strings.Cut(words[1], " ")
		if len(words) > 2 {
			ports = words[2]
		}
		if g.Ports, err = ranges(ports); err != nil {
			fail(err)
		}
		if to == "host" {
			g.Loopback = true
		} else {
			g.CIDR = to
		}
		n.Grants = append(n.Grants, g)
	case "peer":
		peer := spec.Peer{Name: words[1], ID: "p." + words[1]}
		for _, text := range words[2:] {
			port, err := spec.ParseGuestPort(text)
			fail(err)
			peer.Ports = append(peer.Ports, port)
		}
		n.Peers = append(n.Peers, peer)
	case "allow", "deny":
		r, err := spec.Rule{Name: words[1]}, error(nil)
		switch words[2] {
		case "host":
			r.Host = words[3]
		case "suffix":
			r.Suffix = words[3]
		case "cidr":
			r.CIDR = words[3]
		case "group":
			r.Group = spec.Group(words[3])
		default:
			t.Fatalf("%s: a rule of %s", where, words[2])
		}
		rest := words[4:]
		if len(rest) > 0 && rest[0] != "udp" && rest[0] != "tls" {
			r.Ports, err = ranges(rest[0])
			fail(err)
			rest = rest[1:]
		}
		for len(rest) > 1 {
			if rest[0] == "udp" {
				r.UDP, err = ranges(rest[1])
			} else {
				var tls bool
				tls, err = strconv.ParseBool(rest[1])
				r.TLS = &tls
			}
			fail(err)
			rest = rest[2:]
		}
		if words[0] == "allow" {
			if r.Ports == nil && r.UDP == nil {
				r.Ports = []spec.PortRange{{First: 443, Last: 443}}
			}
			n.Allow = append(n.Allow, r)
			return
		}
		if r.Ports == nil && r.UDP == nil {
			r.Ports, r.UDP = []spec.PortRange{spec.AllPorts}, []spec.PortRange{spec.AllPorts}
		}
		n.Deny = append(n.Deny, r)
	default:
		t.Fatalf("%s: what is %s", where, words[0])
	}
}

func ranges(text string) (list []spec.PortRange, err error) {
	for one := range strings.SplitSeq(text, ",") {
		if one == "" {
			continue
		}
		r, err := spec.ParsePortRange(one)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

// ask reads "dns NAME", "answer NAME ADDRESS", "alias NAME ALIAS",
// "tcp|udp ADDRESS:PORT|PEER:PORT [NAME[=ALIAS...]...]", "sni ADDRESS:PORT NAME[=ALIAS...]|-|ech|none" and
// "dial ADDRESS:PORT [own]".
func ask(t *testing.T, where string, p *Policy, stage string, to []string) Verdict {
	t.Helper()
	endpoint := func() netip.AddrPort {
		if name, port, _ := strings.Cut(to[0], ":"); !strings.HasPrefix(to[0], "[") {
			if a, ok := p.Synthetic(name); ok {
				return netip.MustParseAddrPort(a.String() + ":" + port)
			}
		}
		a, err := netip.ParseAddrPort(to[0])
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		return a
	}
	switch stage {
	case "dns":
		return p.Question(strings.Trim(to[0], `"`))
	case "answer":
		return p.Answer(to[0], netip.MustParseAddr(to[1]))
	case "tcp", "udp":
		f := Flow{Protocol: spec.Protocol(stage), To: endpoint(), Aliases: map[string][]string{}}
		for _, text := range to[1:] {
			names := strings.Split(text, "=")
			f.Names = append(f.Names, names[0])
			f.Aliases[names[0]] = names[1:]
		}
		return p.Flow(f)
	case "alias":
		return p.Alias(to[0], to[1])
	case "sni":
		names := strings.Split(to[1], "=")
		f := Flow{Protocol: spec.TCP, To: endpoint(), Names: names[:1], Aliases: map[string][]string{names[0]: names[1:]}}
		h := Hello{TLS: true, Name: names[0]}
		switch to[1] {
		case "-":
			h = Hello{}
		case "none":
			h.Name = ""
		case "ech":
			h = Hello{TLS: true, ECH: true, Name: "api.example.com"}
		}
		return p.Name(f, h)
	case "dial":
		return p.Dial(endpoint(), len(to) > 1)
	}
	t.Fatalf("%s: no stage", where)
	return Verdict{}
}

// TestNoManifestLiftsABuiltin asks every kind of address that is not public under a manifest that allows all it can.
func TestNoManifestLiftsABuiltin(t *testing.T) {
	all := []spec.PortRange{spec.AllPorts}
	n := &spec.Network{Allow: []spec.Rule{
		{Name: "four", CIDR: "0.0.0.0/0", Ports: all, UDP: all},
		{Name: "six", CIDR: "::/0", Ports: all, UDP: all},
		{Name: "public", Group: spec.GroupPublic, Ports: all, UDP: all},
		{Name: "name", Host: "evil.example.com", Ports: all, UDP: all, TLS: new(bool)},
	}}
	p, err := New(n)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range hostile {
		to := netip.AddrPortFrom(netip.MustParseAddr(a), 80)
		for _, protocol := range []spec.Protocol{spec.TCP, spec.UDP} {
			if v := p.Flow(Flow{Protocol: protocol, To: to, Names: []string{"evil.example.com"}}); v.Allowed || !v.Builtin() {
				t.Errorf("%s %s: %+v", protocol, a, v)
			}
		}
		if v := p.Answer("evil.example.com", to.Addr()); v.Allowed || !v.Builtin() {
			t.Errorf("answer %s: %+v", a, v)
		}
		if v := p.Dial(to, false); v.Allowed || !v.Builtin() {
			t.Errorf("dial %s: %+v", a, v)
		}
	}
	if v := p.Dial(netip.MustParseAddrPort("203.0.113.5:80"), true); v.Allowed || v.Rule != RuleHost {
		t.Errorf("an address of the host's own: %+v", v)
	}
}

// hostile are addresses that lead into the host, its networks or nowhere, in all forms that there are.
var hostile = func() []string {
	list := []string{"0.0.0.0", "0.1.2.3", "255.255.255.255", "240.0.0.1", "224.0.0.1", "239.255.255.250", "192.0.0.1", "192.0.0.192",
		"192.88.99.1", "198.18.0.1", "198.19.255.255", "::", "::1", "fe80::1", "febf::1", "fec0::1", "fc00::1", "fd00::1", "fd00:ec2::254",
		"fd6d:6167:656e::1", "ff02::1", "ff0e::1", "100::1", "2001::1", "2001:1::1", "2001:2::1", "5f00::1", "4000::1", "e000::1", "1::1"}
	for _, four := range []string{"127.0.0.1", "127.255.255.255", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1",
		"192.168.255.255", "100.64.0.1", "100.127.255.255", "169.254.0.1", "169.254.169.254", "169.254.170.2", "100.100.100.200",
		"168.63.129.16", "8.8.8.8"} {
		if four != "8.8.8.8" {
			list = append(list, four)
		}
		b := netip.MustParseAddr(four).As4()
		hex := fmt.Sprintf("%02x%02x:%02x%02x", b[0], b[1], b[2], b[3])
		list = append(list, "::ffff:"+four, "::"+four, "64:ff9b::"+four, "64:ff9b:1::"+four, "64:ff9b:1:ffff::"+four, "::ffff:0:"+four,
			"2002:"+hex+"::1", fmt.Sprintf("2001:0:cb00:7105::%02x%02x:%02x%02x", ^b[0], ^b[1], ^b[2], ^b[3]))
	}
	return list
}()

// TestGrantsLiftOnlyWhatTheyName: a grant is of private networks, and never of what stands for them.
func TestGrantsLiftOnlyWhatTheyName(t *testing.T) {
	all := []spec.PortRange{spec.AllPorts}
	p, err := New(&spec.Network{
		Allow:  []spec.Rule{{Name: "four", CIDR: "0.0.0.0/0", Ports: all, UDP: all}, {Name: "six", CIDR: "::/0", Ports: all, UDP: all}},
		Grants: []spec.Grant{{CIDR: "0.0.0.0/0"}, {CIDR: "::/0"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range hostile {
		to := netip.MustParseAddr(a)
		plain := netip.MustParsePrefix("fc00::/7").Contains(to) && !Link6.Contains(to) && a != "fd00:ec2::254"
		for _, private := range []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"} {
			plain = plain || netip.MustParsePrefix(private).Contains(to) && a != "100.100.100.200"
		}
		if v := p.Dial(netip.AddrPortFrom(to, 80), false); v.Allowed != plain {
			t.Errorf("%s: %+v", a, v)
		}
	}
}

func TestNewRefusesWhatIsNoRule(t *testing.T) {
	for _, n := range []spec.Network{
		{Allow: []spec.Rule{{Name: "x"}}},
		{Allow: []spec.Rule{{Name: "x", Host: "a.example", CIDR: "192.0.2.0/24"}}},
		{Deny: []spec.Rule{{Name: "x", Group: "all"}}},
		{Deny: []spec.Rule{{Name: "x", CIDR: "192.0.2.0"}}},
		{Grants: []spec.Grant{{CIDR: "x"}}},
	} {
		if p, err := New(&n); err == nil {
			t.Errorf("%+v is %+v", n, p)
		}
	}
	if p, err := New(nil); err != nil || p != None || p.Question("example.com").Allowed {
		t.Errorf("no network: %+v, %v", p, err)
	}
}

// TestPeersKeepTheirAddress: one that comes or goes moves no other.
func TestPeersKeepTheirAddress(t *testing.T) {
	var n spec.Network
	seen := map[netip.Addr]string{}
	for i := range 500 {
		n.Peers = append(n.Peers, spec.Peer{Name: fmt.Sprintf("peer%d", i)})
	}
	p, err := New(&n)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range n.Peers {
		a, ok := p.Synthetic(q.Name)
		if other := seen[a]; !ok || other != "" || !Link4.Contains(a) {
			t.Errorf("%s has %s as %s has", q.Name, a, other)
		}
		seen[a] = q.Name
	}
	one, err := New(&spec.Network{Peers: n.Peers[7:8]})
	if err != nil {
		t.Fatal(err)
	}
	was, _ := p.Synthetic("peer7")
	if is, _ := one.Synthetic("peer7"); is != was {
		t.Errorf("peer7 moves from %s to %s", was, is)
	}
}

// FuzzQuestion: what is allowed is the rule's name or below it, whatever bytes ask for it.
func FuzzQuestion(f *testing.F) {
	for _, seed := range []string{"debian.org", "DEB.Debian.ORG.", "notdebian.org", "_http._tcp.debian.org", "debian.org\x00.evil.example", "debıan.org", "xn--debin-qta.org", "..", ""} {
		f.Add(seed)
	}
	p, err := New(&spec.Network{Allow: []spec.Rule{{Name: "mirror", Suffix: "debian.org", Ports: []spec.PortRange{{First: 443, Last: 443}}}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v := p.Question(text)
		folded := strings.ToLower(strings.TrimSuffix(text, "."))
		if v.Allowed != (folded == "debian.org" || strings.HasSuffix(folded, ".debian.org")) && v.Rule != RuleName {
			t.Errorf("%q: %+v", text, v)
		}
		name, err := dnsname.Wire(text)
		if again, e := dnsname.Wire(name); err == nil && (e != nil || again != name) {
			t.Errorf("%q is %q and then %q, %v", text, name, again, e)
		}
	})
}

// FuzzAddress: nothing is dialled but what a look at its bytes takes for public.
func FuzzAddress(f *testing.F) {
	for _, a := range hostile {
		b := netip.MustParseAddr(a).As16()
		f.Add(b[:], a != netip.MustParseAddr(a).Unmap().String())
	}
	all := []spec.PortRange{spec.AllPorts}
	p, err := New(&spec.Network{Allow: []spec.Rule{{Name: "four", CIDR: "0.0.0.0/0", Ports: all}, {Name: "six", CIDR: "::/0", Ports: all}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte, four bool) {
		if len(b) != 16 {
			return
		}
		a := netip.AddrFrom16([16]byte(b))
		if four {
			a = a.Unmap()
		}
		to := netip.AddrPortFrom(a, 80)
		v, d := p.Flow(Flow{Protocol: spec.TCP, To: to}), p.Dial(to, false)
		if v.Allowed != d.Allowed {
			t.Errorf("%s: %+v and then %+v", a, v, d)
		}
		if v.Allowed && (a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() || a.Is4In6() || a.Is6() && b[0]>>5 != 1) {
			t.Errorf("%s is allowed: %+v", a, v)
		}
	})
}
