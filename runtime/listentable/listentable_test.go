package listentable

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const heading = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"

func TestKernelsTables(t *testing.T) {
	v4, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer v4.Close()
	conn, err := net.Dial("tcp4", v4.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	want := []Socket{{Address: netip.MustParseAddr("127.0.0.1"), Port: portOf(v4.Addr())}}
	if v6, err := net.Listen("tcp6", "[::]:0"); err == nil {
		defer v6.Close()
		want = append(want, Socket{Address: netip.IPv6Unspecified(), Port: portOf(v6.Addr())})
	} else {
		t.Log("without IPv6: ", err)
	}
	got, err := Read("/proc/net", false)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range want {
		if !slices.Contains(got, s) || !s.OnLoopback() {
			t.Errorf("%+v is not in %+v, or not on loopback", s, got)
		}
	}
	if client := portOf(conn.LocalAddr()); slices.ContainsFunc(got, func(s Socket) bool { return s.Port == client }) {
		t.Error("a connection counts as a server")
	}

	bound, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer bound.Close()
	connected, err := net.Dial("udp4", bound.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer connected.Close()
	if got, err = Read("/proc/net", true); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(got, Socket{Address: netip.MustParseAddr("127.0.0.1"), Port: portOf(bound.LocalAddr()), UDP: true}) {
		t.Errorf("the socket of UDP is not in %+v", got)
	}
	if slices.ContainsFunc(got, func(s Socket) bool { return s.Port == portOf(connected.LocalAddr()) }) {
		t.Error("a connected socket of UDP counts as a server")
	}
}

func portOf(a net.Addr) uint16 { return netip.MustParseAddrPort(a.String()).Port() }

func TestOnLoopback(t *testing.T) {
	for address, want := range map[string]bool{
		"0.0.0.0": true, "127.0.0.1": true, "::": true, "::1": true, "127.0.0.53": false, "198.18.0.2": false, "fe80::1": false,
	} {
		if got := (Socket{Address: netip.MustParseAddr(address)}).OnLoopback(); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
}

func TestMappedAddressIsIPv4(t *testing.T) {
	// ::ffff:127.0.0.1 as a machine with little endian numbers writes it.
	list, err := read(nil, strings.NewReader(heading+"0: 0000000000000000FFFF00000100007F:1F90 0:0 0A\n"), false)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || list[0].Port != 8080 || !list[0].OnLoopback() {
		t.Errorf("%+v", list)
	}
}

func TestConnectionsAreNotRead(t *testing.T) {
	list, err := read(nil, strings.NewReader(heading+
		"0: 0100007F:0050 00000000:0000 0A 0\n1: 0100007F:0050 0100007F:C000 01 0\nnot read any more\n"), false)
	if err != nil || len(list) != 1 || list[0].Port != 80 {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestTablesThatAreNone(t *testing.T) {
	dir := t.TempDir()
	if _, err := Read(dir, false); err == nil {
		t.Error("a folder without tables is read")
	}
	for _, line := range []string{"1:", "0: 01:0050 0:0 0A", "0: 0100007F 0:0 0A", "0: 0100007F:1FFFF 0:0 0A", "0: 0100007F:0050 0:0 XY", "0: 01000071234567:0050 0:0 0A"} {
		if err := os.WriteFile(filepath.Join(dir, "tcp"), []byte(heading+line+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if list, err := Read(dir, false); err == nil {
			t.Errorf("%q is read as %+v", line, list)
		}
	}
}

func TestConnections(t *testing.T) {
	l, err := net.Listen("tcp", ":0") // on a host with IPv6 connections to it from IPv4 have mapped addresses
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp4", fmt.Sprint("127.0.0.1:", portOf(l.Addr())))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	near, far := netip.MustParseAddrPort(conn.LocalAddr().String()), netip.MustParseAddrPort(conn.RemoteAddr().String())
	got, err := Connections("/proc/net")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []Connection{{near, far}, {far, near}} {
		if !slices.Contains(got, want) {
			t.Errorf("%v is not among %v", want, got)
		}
	}
	if slices.ContainsFunc(got, func(c Connection) bool { return c.Remote.Port() == 0 }) {
		t.Error("who listens is taken for a connection")
	}
}
