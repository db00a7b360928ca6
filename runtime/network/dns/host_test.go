package dns

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// responseOf answers a question for an address by aliases and 203.0.113.9, or says that datagrams are too short for that.
func responseOf(question []byte, cut bool, aliases []string) []byte {
	var p dnsmessage.Parser
	h, err := p.Start(question)
	if err != nil {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return nil
	}
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: h.ID, Response: true, RecursionAvailable: true, Truncated: cut}, Questions: []dnsmessage.Question{q}}
	name := q.Name
	for _, alias := range aliases {
		next := dnsmessage.MustNewName(alias + ".")
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: name, Class: q.Class, TTL: 60}, Body: &dnsmessage.CNAMEResource{CNAME: next}})
		name = next
	}
	if q.Type == dnsmessage.TypeA {
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: name, Class: q.Class, TTL: 60}, Body: &dnsmessage.AResource{A: [4]byte{203, 0, 113, 9}}})
	}
	if cut {
		m.Answers = nil
	}
	data, _ := m.Pack()
	return data
}

// nameServer answers over UDP and TCP, and gives the way to it.
func nameServer(t *testing.T, cut bool, aliases []string) func(context.Context, string, string) (net.Conn, error) {
	t.Helper()
	packets, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{}, 2)
	go func() {
		defer func() { done <- struct{}{} }()
		for b := make([]byte, 4096); ; {
			n, from, err := packets.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = packets.WriteTo(responseOf(b[:n], cut, aliases), from)
		}
	}()
	go func() {
		defer func() { done <- struct{}{} }()
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			var size [2]byte
			if _, err := io.ReadFull(c, size[:]); err == nil {
				b := make([]byte, binary.BigEndian.Uint16(size[:]))
				if _, err := io.ReadFull(c, b); err == nil {
					answer := responseOf(b, false, aliases)
					_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
				}
			}
			c.Close()
		}
	}()
	t.Cleanup(func() { packets.Close(); listener.Close(); <-done; <-done })
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		at := listener.Addr().String()
		if network[:3] == "udp" {
			at = packets.LocalAddr().String()
		}
		return new(net.Dialer).DialContext(ctx, network, at)
	}
}

// TestAliasesOfTheHost: Go's resolver gives addresses alone; what they were reached by is read beside it, over either way.
func TestAliasesOfTheHost(t *testing.T) {
	want := []string{"one.example.net", "two.example.net", "three.example.net"}
	for _, cut := range []bool{false, true} {
		addresses, through, err := Host{nameServer(t, cut, want)}.Lookup(t.Context(), "api.example.com")
		if err != nil || !slices.Equal(through, want) || !slices.Equal(addresses, []netip.Addr{netip.MustParseAddr("203.0.113.9")}) {
			t.Errorf("cut %v: %v by %q, %v", cut, addresses, through, err)
		}
	}
	var many []string
	for i := range mostAliases + 1 {
		many = append(many, fmt.Sprintf("n%d.example.net", i))
	}
	if got, _, err := (Host{nameServer(t, true, many)}).Lookup(t.Context(), "api.example.com"); err == nil {
		t.Errorf("an answer without an end is believed: %+v", got)
	}
}

func FuzzAliases(f *testing.F) {
	q := dnsmessage.Message{Header: dnsmessage.Header{ID: 7}, Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName("a.example."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
	question, err := q.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(responseOf(question, false, []string{"one.example", "two.example"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		var a aliases
		a.read(data)
		if len(a.names) > mostAliases+1 {
			t.Errorf("%d names", len(a.names))
		}
	})
}
