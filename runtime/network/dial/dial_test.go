package dial

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"microagent/schema/spec"
)

// What is dialled is the address that was judged, and nothing before that.
func TestDialAsksFirst(t *testing.T) {
	var dialled []string
	d := Dialer{Connect: func(_ context.Context, network string, to netip.AddrPort) (net.Conn, error) {
		dialled = append(dialled, network+" "+to.String())
		return nil, errors.New("nobody is there")
	}}
	no := errors.New("no")
	check := func(to netip.AddrPort, _ bool) error {
		if to.Port() == 1 {
			return no
		}
		return nil
	}
	if _, err := d.Dial(t.Context(), spec.TCP, netip.MustParseAddrPort("203.0.113.9:1"), check); !errors.Is(err, no) {
		t.Errorf("what is denied: %v", err)
	}
	for _, to := range []string{"[::ffff:127.0.0.1]:2", "0.0.0.0:2", "[::]:2", "224.0.0.1:2", "[fe80::1%lo]:2"} {
		if _, err := d.Dial(t.Context(), spec.TCP, netip.MustParseAddrPort(to), check); err == nil || !strings.Contains(err.Error(), "is not the address of one host") {
			t.Errorf("%s: %v", to, err)
		}
	}
	if len(dialled) > 0 {
		t.Errorf("was dialled: %q", dialled)
	}
	for _, c := range []struct {
		protocol spec.Protocol
		to, want string
	}{
		{spec.TCP, "203.0.113.9:2", "tcp4 203.0.113.9:2"}, {spec.UDP, "203.0.113.9:2", "udp4 203.0.113.9:2"}, {spec.TCP, "[2001:db8::9]:2", "tcp6 [2001:db8::9]:2"},
	} {
		if _, err := d.Dial(t.Context(), c.protocol, netip.MustParseAddrPort(c.to), check); err == nil || dialled[len(dialled)-1] != c.want {
			t.Errorf("%q, not %s; %v", dialled, c.want, err)
		}
	}
}

// The host's own addresses are known as such.
func TestDialKnowsTheHost(t *testing.T) {
	var own []bool
	check := func(_ netip.AddrPort, is bool) error { own = append(own, is); return errors.New("asked only") }
	for _, to := range []string{"127.0.0.1:1", "203.0.113.9:1"} {
		_, _ = Dialer{}.Dial(t.Context(), spec.TCP, netip.MustParseAddrPort(to), check)
	}
	if len(own) != 2 || !own[0] || own[1] {
		t.Errorf("own: %v", own)
	}
}

func TestRoute(t *testing.T) {
	if err := (Dialer{}).Route(netip.MustParseAddrPort("127.0.0.1:9")); err != nil {
		t.Errorf("to loopback: %v", err)
	}
	if err := (Dialer{}).Route(netip.MustParseAddrPort("224.0.0.1:9")); err == nil {
		t.Error("there is a way to many")
	}
	if err := (Dialer{}).Route(netip.MustParseAddrPort("[fe80::1]:9")); err == nil {
		t.Error("there is a way to an address of some link")
	}
}
