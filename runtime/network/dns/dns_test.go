package dns

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"microagent/runtime/driver"
	"microagent/runtime/network/policy"
	"microagent/schema/spec"
)

// fake is a resolver that knows some names, and counts how often it is asked.
type fake struct {
	mu    sync.Mutex
	asked []string
	hold  chan struct{} // not nil: answers wait for its end
	names map[string][]string
	err   error

	aliases map[string][]string
}

func (f *fake) Lookup(ctx context.Context, name string) ([]netip.Addr, []string, error) {
	name += "."
	f.mu.Lock()
	f.asked = append(f.asked, name)
	hold, err := f.hold, f.err
	var list []netip.Addr
	for _, a := range f.names[name] {
		list = append(list, netip.MustParseAddr(a))
	}
	aliases := f.aliases[name]
	f.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
	if err == nil && len(list) == 0 {
		err = &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return list, aliases, err
}

func testPolicy(t testing.TB) *policy.Policy {
	t.Helper()
	p, err := policy.New(&spec.Network{
		Allow: []spec.Rule{
			{Name: "api", Host: "api.example.com", Ports: []spec.PortRange{{First: 443, Last: 443}}},
			{Name: "mirror", Suffix: "debian.org", Ports: []spec.PortRange{{First: 80, Last: 80}}},
			{Name: "dev", Host: spec.HostName, Ports: []spec.PortRange{{First: 8080, Last: 8080}}},
		},
		Grants: []spec.Grant{{Loopback: true, Ports: []spec.PortRange{{First: 8080, Last: 8080}}}},
		Peers:  []spec.Peer{{Name: "db", ID: "shop.db", Ports: []spec.Port{{Guest: 5432}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// served is a server with all that a test looks at.
type served struct {
	*Server
	resolver *fake
	pins     *Pins
	denials  []driver.Denial
}

func serve(t testing.TB) *served {
	t.Helper()
	s := &served{pins: NewPins(time.Now), resolver: &fake{names: map[string][]string{
		"api.example.com.":    {"203.0.113.9", "2001:db8::9"},
		"deb.debian.org.":     {"203.0.113.10"},
		"rebound.debian.org.": {"127.0.0.1", "10.0.0.1", "::ffff:169.254.169.254", "::1"},
		"half.debian.org.":    {"203.0.113.11", "192.168.1.1"},
		"many.debian.org.":    nil,
	}}}
	for i := range 100 {
		s.resolver.names["many.debian.org."] = append(s.resolver.names["many.debian.org."], fmt.Sprintf("203.0.113.%d", i), fmt.Sprintf("2001:db8::%x", i+1))
	}
	s.Server = New(testPolicy(t), s.resolver, s.pins, func(d driver.Denial) { s.denials = append(s.denials, d) })
	return s
}

// message asks for a name; room is what EDNS says, 0 for none.
func message(t testing.TB, name string, kind dnsmessage.Type, room int) []byte {
	t.Helper()
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: 7, RecursionDesired: true})
	_ = b.StartQuestions()
	n, err := dnsmessage.NewName(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Question(dnsmessage.Question{Name: n, Type: kind, Class: dnsmessage.ClassINET}); err != nil {
		t.Fatal(err)
	}
	if room > 0 {
		_ = b.StartAdditionals()
		var h dnsmessage.ResourceHeader
		_ = h.SetEDNS0(room, 0, false)
		_ = b.OPTResource(h, dnsmessage.OPTResource{})
	}
	data, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// said is a response in a line: its code, its answers, and the text of an extended error.
func said(t testing.TB, data []byte) string {
	t.Helper()
	var m dnsmessage.Message
	if err := m.Unpack(data); err != nil {
		t.Fatalf("%x: %v", data, err)
	}
	if m.ID != 7 || !m.Response || !m.RecursionAvailable {
		t.Errorf("header %+v", m.Header)
	}
	words := []string{strings.TrimPrefix(m.RCode.String(), "RCode")}
	if m.Truncated {
		words = append(words, "cut")
	}
	for _, a := range m.Answers {
		switch r := a.Body.(type) {
		case *dnsmessage.AResource:
			words = append(words, netip.AddrFrom4(r.A).String())
		case *dnsmessage.AAAAResource:
			words = append(words, netip.AddrFrom16(r.AAAA).String())
		case *dnsmessage.PTRResource:
			words = append(words, r.PTR.String())
		}
	}
	for _, a := range m.Additionals {
		if r, ok := a.Body.(*dnsmessage.OPTResource); ok {
			for _, o := range r.Options {
				words = append(words, fmt.Sprintf("[%d %s]", int(o.Data[0])<<8|int(o.Data[1]), o.Data[2:]))
			}
		}
	}
	return strings.Join(words, " ")
}

func TestAnswer(t *testing.T) {
	for _, c := range []struct {
		name  string
		kind  dnsmessage.Type
		want  string
		asked bool   // the resolver was
		rule  string // of the first denial
	}{
		{"api.example.com.", dnsmessage.TypeA, "Success 203.0.113.9", true, ""},
		{"API.Example.COM.", dnsmessage.TypeAAAA, "Success 2001:db8::9", true, ""},
		{"deb.debian.org.", dnsmessage.TypeA, "Success 203.0.113.10", true, ""},
		{"deb.debian.org.", dnsmessage.TypeAAAA, "Success", true, ""},
		{"gone.debian.org.", dnsmessage.TypeA, "NameError", true, ""},
		{"evil.example.", dnsmessage.TypeA, "NameError [15 no allow rule names evil.example]", false, "default"},
		{"secret.evil.example.", dnsmessage.TypeTXT, "NameError [15 no allow rule names secret.evil.example]", false, "default"},
		{"notdebian.org.", dnsmessage.TypeAAAA, "NameError [15 no allow rule names notdebian.org]", false, "default"},
		{"rebound.debian.org.", dnsmessage.TypeA, "Success [15 rebound.debian.org has the address 169.254.169.254, and 169.254.169.254 is the metadata service of a cloud]", true, "builtin:host"},
		{"rebound.debian.org.", dnsmessage.TypeAAAA, "Success [15 rebound.debian.org has the address ::1, and ::1 is loopback]", true, "builtin:host"},
		{"half.debian.org.", dnsmessage.TypeA, "Success 203.0.113.11", true, "builtin:private"},
		{"api.example.com.", dnsmessage.TypeHTTPS, "Success", false, ""},
		{"api.example.com.", dnsmessage.TypeSVCB, "Success", false, ""},
		{"api.example.com.", dnsmessage.TypeTXT, "Success", false, ""},
		{"api.example.com.", dnsmessage.TypeALL, "Success", false, ""},
		{"_http._tcp.deb.debian.org.", dnsmessage.TypeSRV, "Success", false, ""},
		{"_http._tcp.deb.debian.org.", dnsmessage.TypeA, "Success", false, ""},
		{"_http._tcp.evil.example.", dnsmessage.TypeSRV, "NameError [15 no allow rule names evil.example]", false, "default"},
		{"api.example.com.", dnsmessage.TypeAXFR, "Refused", false, ""},
		{"db.", dnsmessage.TypeA, "Success 198.19.", false, ""},
		{"db.", dnsmessage.TypeAAAA, "Success", false, ""},
		{"cache.", dnsmessage.TypeA, "NameError [15 cache is no peer of this workspace; below its network, peers: [cache] names one]", false, "default"},
		{"host.microagent.internal.", dnsmessage.TypeA, "Success 198.18.0.4", false, ""},
		{"9.113.0.203.in-addr.arpa.", dnsmessage.TypePTR, "NameError", false, ""},
		{"x.in-addr.arpa.", dnsmessage.TypePTR, "NameError [15 no allow rule names x.in-addr.arpa]", false, "default"},
	} {
		s := serve(t)
		got := said(t, s.Answer(t.Context(), message(t, c.name, c.kind, 1232), true))
		if got != c.want && (!strings.HasSuffix(c.want, ".") || !strings.HasPrefix(got, c.want)) {
			t.Errorf("%s %s: %s; not %s", c.name, c.kind, got, c.want)
		}
		if (len(s.resolver.asked) > 0) != c.asked {
			t.Errorf("%s %s: the resolver is asked for %q", c.name, c.kind, s.resolver.asked)
		}
		rule := ""
		if len(s.denials) > 0 {
			rule = s.denials[0].Rule
		}
		if rule != c.rule {
			t.Errorf("%s %s: denied by %q: %+v", c.name, c.kind, rule, s.denials)
		}
		s.Close()
	}
}

func TestWithoutEDNSNothingIsAdded(t *testing.T) {
	s := serve(t)
	defer s.Close()
	if got := said(t, s.Answer(t.Context(), message(t, "evil.example.", dnsmessage.TypeA, 0), true)); got != "NameError" {
		t.Error(got)
	}
}

func TestLongAnswersAreCut(t *testing.T) {
	s := serve(t)
	defer s.Close()
	for _, c := range []struct {
		room int
		udp  bool
		cut  bool
	}{{0, true, true}, {1232, true, false}, {0, false, false}} {
		data := s.Answer(t.Context(), message(t, "many.debian.org.", dnsmessage.TypeAAAA, c.room), c.udp)
		got := said(t, data)
		if strings.Contains(got, "cut") != c.cut || c.udp && len(data) > max(c.room, smallest) || !c.cut && strings.Count(got, "2001:db8::") != mostAddresses {
			t.Errorf("%+v: %d bytes: %s", c, len(data), got)
		}
	}
}

func namesOf(p *Pins, a netip.Addr) []string {
	names, _ := p.Names(a)
	return names
}

// TestOnlyWhatWasToldIsPinned: also not what was filtered out beside it.
func TestOnlyWhatWasToldIsPinned(t *testing.T) {
	s := serve(t)
	defer s.Close()
	s.Answer(t.Context(), message(t, "half.debian.org.", dnsmessage.TypeA, 0), true)
	s.Answer(t.Context(), message(t, "api.example.com.", dnsmessage.TypeA, 0), true)
	for a, want := range map[string]string{"203.0.113.11": "half.debian.org", "192.168.1.1": "", "203.0.113.9": "api.example.com", "2001:db8::9": ""} {
		if got := strings.Join(namesOf(s.pins, netip.MustParseAddr(a)), " "); got != want {
			t.Errorf("%s is of %q, not %q", a, got, want)
		}
	}
	if got := said(t, s.Answer(t.Context(), message(t, "9.113.0.203.in-addr.arpa.", dnsmessage.TypePTR, 0), true)); got != "Success api.example.com." {
		t.Error(got)
	}
	var six strings.Builder
	for i := 31; i >= 0; i-- {
		b := netip.MustParseAddr("2001:db8::9").As16()
		fmt.Fprintf(&six, "%x.", b[i/2]>>(4*(1-i%2))&15)
	}
	s.Answer(t.Context(), message(t, "api.example.com.", dnsmessage.TypeAAAA, 0), true)
	if got := said(t, s.Answer(t.Context(), message(t, six.String()+"ip6.arpa.", dnsmessage.TypePTR, 0), true)); got != "Success api.example.com." {
		t.Error(got)
	}
}

// TestAliasesAreJudged: a name that leads through one that is denied is denied itself, and pinned with what it led through.
func TestAliasesAreJudged(t *testing.T) {
	s := serve(t)
	defer s.Close()
	p, err := policy.New(&spec.Network{
		Allow: []spec.Rule{{Name: "mirror", Suffix: "debian.org", Ports: []spec.PortRange{spec.AllPorts}}},
		Deny: []spec.Rule{
			{Name: "no-ads", Suffix: "ads.example.net", Ports: []spec.PortRange{spec.AllPorts}, UDP: []spec.PortRange{spec.AllPorts}},
			{Name: "no-web", Host: "cdn.example.net", Ports: []spec.PortRange{{First: 80, Last: 80}}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Permit(p)
	s.resolver.aliases = map[string][]string{"deb.debian.org.": {"one.example.net", "EU.ads.Example.net"}, "half.debian.org.": {"cdn.example.net"}}
	for kind, name := range map[dnsmessage.Type]string{dnsmessage.TypeA: "deb.debian.org.", dnsmessage.TypeAAAA: "deb.debian.org."} {
		if got := said(t, s.Answer(t.Context(), message(t, name, kind, 1232), true)); got != "NameError [15 deb.debian.org is an alias of eu.ads.example.net, and a deny rule names suffix ads.example.net]" {
			t.Error(got)
		}
	}
	if n := len(s.denials); n != 2 || s.denials[0].Stage != "answer" || s.denials[0].Rule != "no-ads" || s.denials[0].Names[0] != "deb.debian.org" {
		t.Errorf("%d records: %+v", n, s.denials)
	}
	if got := namesOf(s.pins, netip.MustParseAddr("203.0.113.10")); got != nil {
		t.Errorf("the address is pinned to %q", got)
	}
	s.Answer(t.Context(), message(t, "half.debian.org.", dnsmessage.TypeA, 0), true)
	names, aliases := s.pins.Names(netip.MustParseAddr("203.0.113.11"))
	for port, rule := range map[uint16]string{80: "no-web", 443: "mirror"} {
		f := policy.Flow{Protocol: spec.TCP, To: netip.AddrPortFrom(netip.MustParseAddr("203.0.113.11"), port), Names: names, Aliases: aliases}
		if v := p.Flow(f); v.Rule != rule {
			t.Errorf("port %d is decided by %s", port, v.Rule)
		}
	}
}

// TestResolverIsAskedOnce: for many that ask at the same time, and again when its answer is old.
func TestResolverIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t)
		defer s.Close()
		s.resolver.hold = make(chan struct{})
		var all sync.WaitGroup
		for i := range 50 {
			kind := []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA}[i%2]
			all.Go(func() {
				if got := said(t, s.Answer(t.Context(), message(t, "api.example.com.", kind, 0), true)); !strings.HasPrefix(got, "Success 20") {
					t.Error(got)
				}
			})
		}
		synctest.Wait()
		close(s.resolver.hold)
		all.Wait()
		if len(s.resolver.asked) != 1 {
			t.Errorf("asked for %q", s.resolver.asked)
		}
		time.Sleep(foundFor + time.Second)
		s.Answer(t.Context(), message(t, "api.example.com.", dnsmessage.TypeA, 0), true)
		if !slices.Equal(s.resolver.asked, []string{"api.example.com.", "api.example.com."}) {
			t.Errorf("asked for %q", s.resolver.asked)
		}
	})
}

// TestResolverThatFailsIsSaid: as one fails on the host, and it is asked again.
func TestResolverThatFailsIsSaid(t *testing.T) {
	s := serve(t)
	defer s.Close()
	s.resolver.err = &net.DNSError{Err: "connection refused", Name: "api.example.com", IsTemporary: true}
	if got := said(t, s.Answer(t.Context(), message(t, "api.example.com.", dnsmessage.TypeA, 1232), true)); got != "ServerFailure [23 the host's resolver gives no answer]" {
		t.Error(got)
	}
	s.resolver.err = nil
	if got := said(t, s.Answer(t.Context(), message(t, "api.example.com.", dnsmessage.TypeA, 0), true)); got != "Success 203.0.113.9" {
		t.Error(got)
	}
}

// TestQuestionsUnderWayAreBounded: those beyond get an answer at once, and Close ends them all.
func TestQuestionsUnderWayAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t)
		s.resolver.hold = make(chan struct{})
		var all sync.WaitGroup
		for i := range MostUnderWay {
			all.Go(func() {
				s.Answer(t.Context(), message(t, fmt.Sprintf("n%d.debian.org.", i), dnsmessage.TypeA, 0), true)
			})
		}
		synctest.Wait()
		if got := said(t, s.Answer(t.Context(), message(t, "api.example.com.", dnsmessage.TypeA, 0), true)); got != "ServerFailure" || s.denials[0].Rule != "limit:dns" {
			t.Errorf("%s, %+v", got, s.denials)
		}
		s.Close()
		all.Wait()
	})
}

func TestPolicyChangesWhileItRuns(t *testing.T) {
	s := serve(t)
	defer s.Close()
	s.Permit(policy.None)
	if got := said(t, s.Answer(t.Context(), message(t, "api.example.com.", dnsmessage.TypeA, 0), true)); got != "NameError" || len(s.resolver.asked) > 0 {
		t.Errorf("%s, asked for %q", got, s.resolver.asked)
	}
}

func TestPinsEnd(t *testing.T) {
	now := time.Now()
	p := NewPins(func() time.Time { return now })
	a, b := netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("203.0.113.2")
	p.Add(a, "one.example")
	now = now.Add(30 * time.Minute)
	p.Add(a, "two.example")
	p.Add(b, "two.example")
	now = now.Add(31 * time.Minute)
	if got, _ := p.find(a, false); !slices.Equal(got, []string{"two.example"}) {
		t.Errorf("after an hour: %q", got)
	}
	if got := namesOf(p, b); len(got) != 1 {
		t.Errorf("of a flow: %q", got)
	}
	now = now.Add(59 * time.Minute)
	if got := namesOf(p, b); len(got) != 1 {
		t.Errorf("within an hour of the last flow: %q", got)
	}
	if got := namesOf(p, a); len(got) != 0 {
		t.Errorf("after another hour: %q", got)
	}
	for i := range 2 * mostPins {
		p.Add(netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}), "x.example")
	}
	for i := range 2 * mostPinned {
		p.Add(a, fmt.Sprintf("n%d.example", i))
	}
	if p.pins.Len() > mostPins || len(namesOf(p, a)) != mostPinned || namesOf(p, a)[0] != fmt.Sprintf("n%d.example", 2*mostPinned-1) {
		t.Errorf("%d addresses, %d names", p.pins.Len(), len(namesOf(p, a)))
	}
}

func TestWhatIsNoQuestion(t *testing.T) {
	s := serve(t)
	defer s.Close()
	good := message(t, "api.example.com.", dnsmessage.TypeA, 0)
	response := slices.Clone(good)
	response[2] |= 0x80
	update := slices.Clone(good)
	update[2] |= 5 << 3
	two := slices.Concat(good, good[12:])
	two[5] = 2
	chaos := slices.Clone(good)
	chaos[len(chaos)-1] = 3
	for about, c := range map[string]struct {
		data []byte
		want string
	}{
		"nothing": {nil, ""}, "a part of a header": {good[:11], ""}, "a response": {response, ""}, "a header alone": {good[:12], "FormatError"},
		"a cut question": {good[:20], "FormatError"}, "an update": {update, "NotImplemented"}, "two questions": {two, "FormatError"},
		"another class": {chaos, "Refused"}, "too long": {append(slices.Clone(good), make([]byte, Longest)...), "FormatError"},
	} {
		got := s.Answer(t.Context(), c.data, true)
		if c.want == "" && got != nil || c.want != "" && (got == nil || said(t, got) != c.want) {
			t.Errorf("%s: %x", about, got)
		}
	}
	if len(s.resolver.asked) > 0 {
		t.Errorf("asked for %q", s.resolver.asked)
	}
}

// FuzzAnswer: whatever comes, what goes back is a response to it that fits, and nothing denied is asked for.
func FuzzAnswer(f *testing.F) {
	f.Add(message(f, "api.example.com.", dnsmessage.TypeA, 1232), true)
	f.Add(message(f, "evil.example.", dnsmessage.TypeTXT, 512), false)
	f.Add(message(f, "9.113.0.203.in-addr.arpa.", dnsmessage.TypePTR, 0), true)
	f.Fuzz(func(t *testing.T, data []byte, udp bool) {
		s := serve(t)
		defer s.Close()
		got := s.Answer(t.Context(), data, udp)
		if got == nil {
			return
		}
		var m dnsmessage.Message
		if err := m.Unpack(got); err != nil || !m.Response || len(got) > 1<<16 || udp && len(got) > largest {
			t.Errorf("%x: %x, %v", data, got, err)
		}
		for _, name := range s.resolver.asked {
			if name := strings.TrimSuffix(name, "."); name != "api.example.com" && name != "debian.org" && !strings.HasSuffix(name, ".debian.org") {
				t.Errorf("%x: asked for %s", data, name)
			}
		}
	})
}
