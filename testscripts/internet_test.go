package testscripts

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"microagent/cmd/microagent/cli"
	"microagent/runtime/network/dial"
	"microagent/testscripts/internet"
)

// outside is what workspaces of the scripts reach.
var outside = cli.Outside{Resolver: internet.Resolver{}, Dialer: dial.Dialer{Connect: internet.Connect}}

// serve [--tls] NAME:PORT FOLDER: serves a folder over HTTP at the addresses of a name of package internet, until the script
// ends. A file redirect.to in it leads all else to what it says.
func serve(ts *testscript.TestScript, neg bool, args []string) {
	secure := len(args) > 0 && args[0] == "--tls"
	if secure {
		args = args[1:]
	}
	need(ts, neg, args, 2, "serve [--tls] NAME:PORT FOLDER")
	folder := ts.MkAbs(args[1])
	server := &http.Server{Handler: http.FileServer(http.Dir(folder)), ErrorLog: log.New(io.Discard, "", 0)}
	if to, err := os.ReadFile(filepath.Join(folder, "redirect.to")); err == nil {
		server.Handler = http.RedirectHandler(strings.TrimSpace(string(to)), http.StatusFound)
	}
	for _, l := range listenOutside(ts, args[0]) {
		if secure {
			name, _, _ := net.SplitHostPort(args[0])
			cert, err := identity(name)
			ts.Check(err)
			l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}})
		}
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

var serves = regexp.MustCompile(`(?m)^serve (?:--tls )?([^ :]+):`)

// Scripts run at the same time: two that served one address would stand in each other's way.
func TestScriptsServeAddressesOfTheirOwn(t *testing.T) {
	scripts, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatal(scripts, err)
	}
	owner := map[netip.AddrPort]string{}
	for _, script := range scripts {
		text, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range serves.FindAllSubmatch(text, -1) {
			for _, address := range internet.Addresses(string(found[1])) {
				at, err := internet.Server("microagent", netip.AddrPortFrom(netip.MustParseAddr(address), 1))
				if of := owner[at]; err != nil || of != "" && of != script {
					t.Errorf("%s and %s serve %s: %v", of, script, address, err)
				}
				owner[at] = script
			}
		}
	}
	if len(owner) < 8 {
		t.Errorf("%d addresses are served", len(owner))
	}
}

// gateway [--kill|--none] NAME: the workspace's supervisor has a gateway, which --kill kills; with --none it has none.
func gateway(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1, "gateway [--kill|--none] NAME")
	supervisor, _ := runPID(ts, args[len(args)-1])
	list, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", supervisor, supervisor))
	ts.Check(err)
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", supervisor))
	ts.Check(err)
	for _, task := range tasks { // a child is that of the thread that started it
		more, _ := os.ReadFile(task)
		list = append(append(list, ' '), more...)
	}
	found := 0
	for text := range strings.FieldsSeq(string(list)) {
		line, _ := os.ReadFile("/proc/" + text + "/cmdline")
		if strings.Contains(string(line), "network-gateway") {
			pid, err := strconv.Atoi(text)
			ts.Check(err)
			found = pid
		}
	}
	switch {
	case args[0] == "--none" && found != 0:
		ts.Fatalf("%s has the gateway %d", args[1], found)
	case args[0] != "--none" && found == 0:
		ts.Fatalf("%s has no gateway", args[len(args)-1])
	case args[0] == "--kill":
		ts.Check(syscall.Kill(found, syscall.SIGKILL))
		gone(ts, found)
	}
}
