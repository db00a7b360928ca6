package testscripts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// portof VARIABLE WORKSPACE GUEST: sets a variable to the number of the host on which a port of the guest is published.
func portof(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 3, "portof VARIABLE WORKSPACE GUEST")
	ts.Check(ts.Exec("microagent", "status", args[1], "--json"))
	var status struct {
		Run struct {
			Ports []struct{ Guest, Host int }
		}
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &status))
	for _, p := range status.Run.Ports {
		if fmt.Sprint(p.Guest) == args[2] {
			ts.Setenv(args[0], fmt.Sprint(p.Host))
			return
		}
	}
	ts.Fatalf("port %s of %s is not published: %s", args[2], args[1], ts.ReadFile("stdout"))
}

// free VARIABLE: sets a variable to the number of a port of the host that nobody has, and that no other script is given.
func free(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1, "free VARIABLE")
	port, err := freePort()
	ts.Check(err)
	ts.Setenv(args[0], strconv.Itoa(port))
}

// portsGiven counts what freePort has given.
var portsGiven atomic.Int64

// freePort is the number of a TCP port of loopback that nobody has. It lies below those that the kernel gives to whoever
// asks for any, so that nobody comes by it before it is bound, and each is given once.
func freePort() (int, error) {
	data, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return 0, err
	}
	var given int64
	if _, err := fmt.Sscan(string(data), &given); err != nil {
		return 0, fmt.Errorf("the kernel's range of ports is %q: %w", data, err)
	}
	const first = 2000
	for range given - first {
		port := first + (int64(os.Getpid())*256+portsGiven.Add(1))%(given-first) // far from those of another process that runs these tests
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.FormatInt(port, 10)))
		if err == nil {
			return int(port), l.Close()
		}
	}
	return 0, fmt.Errorf("no port below %d is free", given)
}

// hold VARIABLE: listens on a port of the host until the script ends, and sets a variable to its number.
func hold(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1, "hold VARIABLE")
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	ts.Setenv(args[0], fmt.Sprint(l.Addr().(*net.TCPAddr).Port))
}

// fetch WHERE [TEXT]: the answer to GET / at 127.0.0.1:8080, [::1]:8080 or unix:PATH comes, within 20 seconds, and has the
// text. With ! a connect is refused, or there is no socket.
func fetch(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 1 || len(args) > 2 {
		ts.Fatalf("fetch WHERE [TEXT]")
	}
	network, where := "tcp", args[0]
	if path, ok := strings.CutPrefix(where, "unix:"); ok {
		network, where = "unix", ts.MkAbs(path)
	}
	if neg {
		conn, err := net.Dial(network, where)
		if err == nil {
			conn.Close()
		}
		if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, syscall.ENOENT) {
			ts.Fatalf("%s: %v; it is to be refused", where, err)
		}
		return
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, where)
	}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
	var text []byte
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		var answer *http.Response
		if answer, err = client.Get("http://guest/"); err != nil {
			if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT) { // the server is not up yet
				continue
			}
			break
		}
		text, err = io.ReadAll(answer.Body)
		answer.Body.Close()
		break
	}
	ts.Check(err)
	if len(args) > 1 && !strings.Contains(string(text), args[1]) {
		ts.Fatalf("%s answers %q, without %q", where, text, args[1])
	}
}
