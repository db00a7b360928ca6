package testscripts

import (
	"net"
	"net/http"
	"net/netip"
	"os/exec"

	"github.com/rogpeppe/go-internal/testscript"

	"microagent/cmd/microagent/cli"
	"microagent/runtime/network/dial"
	"microagent/testscripts/internet"
)

// outside is what workspaces of the scripts reach.
var outside = cli.Outside{Resolver: internet.Resolver{}, Dialer: dial.Dialer{Connect: internet.Connect}}

// serve NAME:PORT FOLDER: serves a folder over HTTP at the addresses of a name of package internet, until the script ends.
func serve(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, "serve NAME:PORT FOLDER")
	server := &http.Server{Handler: http.FileServer(http.Dir(ts.MkAbs(args[1])))}
	for _, l := range listenOutside(ts, args[0]) {
		go func() { _ = server.Serve(l) }()
	}
	ts.Defer(func() { server.Close() })
}

// listenOutside listens where the program expects a name's servers.
func listenOutside(ts *testscript.TestScript, at string) (list []net.Listener) {
	name, port, err := net.SplitHostPort(at)
	ts.Check(err)
	self, err := exec.LookPath("microagent")
	ts.Check(err)
	for _, address := range internet.Addresses(name) {
		where, err := internet.Server(self, netip.MustParseAddrPort(net.JoinHostPort(address, port)))
		ts.Check(err)
		l, err := net.Listen("tcp", where.String())
		ts.Check(err)
		list = append(list, l)
	}
	return list
}
