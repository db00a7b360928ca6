// Package internet is the internet of the test scripts: names and public addresses that are nobody's, behind which servers of
// a test on loopback are. The test binary alone has it; the program has no way to map an address to another.
//
// A program that runs as the test binary knows the servers of its own run alone, by the folder that it lies in. A name
// belongs to one script, since scripts run at the same time.
package internet

import (
	"context"
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
)

// hosts are the addresses of names. Of those without a server nobody answers; those that are no public ones a resolver
// must not be believed.
var hosts = map[string][]string{
	"alias.example.com":  {"mirror.example.com", "203.0.113.22"},
	"files.example.com":  {"203.0.113.10", "2001:db8::10"},
	"other.example.com":  {"203.0.113.11"},
	"shared.example.com": {"203.0.113.10"}, // as one server has several names
	"api.example.com":    {"203.0.113.21", "2001:db8::21"},
	"mirror.example.com": {"203.0.113.22"},
	"far.example.com":    {offline.String()},
	"deb.example.com":    {"203.0.113.31"},
	"get.example.com":    {"203.0.113.32", "2001:db8::32"},
	"else.example.com":   {"203.0.113.33"}, // to which get.example.com leads on

	"pypi.org":               {"203.0.113.41"}, // of examples/pip
	"files.pythonhosted.org": {"203.0.113.42"},

	"busy.example.com":   {"203.0.113.61"},
	"git.example.com":    {"203.0.113.51"},
	"proxy.example.com":  {"203.0.113.52"},
	"npm.example.com":    {"203.0.113.53"},
	"rebind.example.com": {"127.0.0.1", "::1", "169.254.169.254", "::ffff:127.0.0.1", "10.0.0.1"},
}

// offline is where the host of the tests has no way to.
var offline = netip.MustParseAddr("203.0.113.99")

// Resolver knows the names.
type Resolver struct{}

// Lookup gives the addresses of a name; any other does not exist. A name among them is one that the answer leads through.
func (Resolver) Lookup(_ context.Context, name string) (list []netip.Addr, through []string, _ error) {
	for _, text := range hosts[name] {
		if a, err := netip.ParseAddr(text); err == nil {
			list = append(list, a)
		} else {
			through = append(through, text)
		}
	}
	if list == nil {
		return nil, nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return list, through, nil
}

// Connect connects to the server that a test has at an address, by the program that runs.
func Connect(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	if to.Addr() == offline {
		return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ENETUNREACH)}
	}
	at, err := Server(self, to)
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	return d.DialContext(ctx, network[:3], at.String())
}

// Server is where a test has the server of an address, for programs in the folder of self: on a loopback address of that
// folder and the host, at a port that nobody needs to be root for.
func Server(self string, of netip.AddrPort) (netip.AddrPort, error) {
	host := of.Addr().AsSlice()
	known := false
	for _, list := range hosts {
		for _, text := range list {
			known = known || text == of.Addr().String()
		}
	}
	if !known || of.Addr().IsLoopback() {
		return netip.AddrPort{}, fmt.Errorf("%s is nowhere", of)
	}
	h := fnv.New32a()
	h.Write([]byte(filepath.Dir(self)))
	sum := h.Sum32()
	at := netip.AddrFrom4([4]byte{127, byte(1 + sum%250), byte(sum >> 8), host[len(host)-1]})
	return netip.AddrPortFrom(at, of.Port()+20000), nil
}

// Addresses are those of a name.
func Addresses(name string) []string { return hosts[name] }
