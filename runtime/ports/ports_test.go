package ports

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
	"microagent/schema/spec"
)

func refused(t *testing.T, address string) {
	t.Helper()
	if conn, err := net.Dial("tcp", address); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("%s: %v, %v; not refused", address, conn, err)
	}
}

// stolen says whether another program could take a port, as servers do.
func stolen(address string) bool {
	l, err := net.Listen("tcp", address)
	if err == nil {
		l.Close()
	}
	return err == nil
}

// unasked is a guest that nothing may be asked of.
type unasked struct{ t *testing.T }

func (g unasked) Dial(context.Context, proto.Port) (Conn, error) {
	g.t.Error("it is dialled")
	return nil, io.EOF
}

func (g unasked) Listening(context.Context, []proto.Port) (Watch, error) {
	g.t.Error("it is watched")
	return nil, io.EOF
}

func TestGuestWithoutPortsIsNotAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(slog.New(slog.DiscardHandler), 1<<30)
		defer p.Close()
		serving(t, p, unasked{t})
		time.Sleep(time.Hour) // of a bubble: all that could be asked was
	})
}

func TestPortIsHeldAndListensWhileItsServerDoes(t *testing.T) {
	session := bootAgent(t)
	p := newPorts(t)
	guest := free(t, false)
	number := publish(t, p, fmt.Sprintf("auto:%d", guest))[0].Host
	both := []string{at("127.0.0.1", number), at("::1", number)}
	check := func(when string, want bool) {
		t.Helper()
		for _, address := range both {
			if stolen(address) {
				t.Errorf("%s: another program could take %s", when, address)
			}
			if !want {
				refused(t, address)
				continue
			}
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatalf("%s: %v", when, err)
			}
			_, _ = io.WriteString(conn, "ping")
			_ = conn.(*net.TCPConn).CloseWrite()
			if got, err := io.ReadAll(conn); string(got) != "ping" || err != nil {
				t.Errorf("%s: %q, %v", when, got, err)
			}
			conn.Close()
		}
	}
	check("before any guest", false)
	stop := serving(t, p, Session(session))
	check("before the server", false)
	for range 3 {
		_, end := guestServer(t, at("127.0.0.1", guest), echo)
		listening(t, p, true)
		check("with the server", true)
		end()
		listening(t, p, false)
		check("after the server", false)
	}
	_, _ = guestServer(t, at("::1", guest), echo)
	listening(t, p, true)
	check("with a server on ::1", true)
	stop()
	check("without a guest", false)
	serving(t, p, Session(bootAgent(t)))
	listening(t, p, true)
	check("after a reboot", true)
}

func TestPortCanBeHadAgainAtOnce(t *testing.T) {
	session := bootAgent(t)
	guest, _ := guestServer(t, "127.0.0.1:0", func(*net.TCPConn) {}) // ends first, so that the host's side stays in TIME_WAIT
	number := uint16(0)
	for range 3 {
		p := newPorts(t)
		flag := fmt.Sprintf("auto:%d", guest)
		if number != 0 {
			flag = fmt.Sprintf("%d:%d", number, guest)
		}
		number = publish(t, p, flag)[0].Host
		stop := serving(t, p, Session(session))
		listening(t, p, true)
		conn, err := net.Dial("tcp", at("127.0.0.1", number))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.ReadAll(conn)
		conn.Close()
		stop()
		p.Close()
	}
}

// TestGuestThatFlaps opens and closes its server as fast as it is listened to.
func TestGuestThatFlaps(t *testing.T) {
	f := newFake()
	p := newPorts(t)
	number := publish(t, p, "auto:80")[0].Host
	serving(t, p, f)
	for i := range 40 {
		f.said <- []bool{i%2 == 0}
	}
	f.said <- []bool{true}
	listening(t, p, true)
	conn, err := net.Dial("tcp", at("127.0.0.1", number))
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestPortsChangeWhileTheyAreServed(t *testing.T) {
	session := bootAgent(t)
	guest, _ := guestServer(t, "127.0.0.1:0", echo)
	p := newPorts(t)
	serving(t, p, Session(session))
	first := publish(t, p, fmt.Sprintf("auto:%d", guest))
	listening(t, p, true)
	gone, err := net.Dial("tcp", at("127.0.0.1", first[0].Host))
	if err != nil {
		t.Fatal(err)
	}
	defer gone.Close()
	second := publish(t, p, fmt.Sprintf("auto:%d", guest))
	listening(t, p, true)
	stays, err := net.Dial("tcp", at("127.0.0.1", second[0].Host))
	if err != nil {
		t.Fatal(err)
	}
	defer stays.Close()
	p.Withdraw(first)
	refused(t, at("127.0.0.1", first[0].Host))
	if !stolen(at("127.0.0.1", first[0].Host)) {
		t.Error("a port that was withdrawn can't be taken")
	}
	if _, err := io.Copy(io.Discard, gone); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("a connection of a port that was withdrawn: %v", err)
	}
	_, _ = io.WriteString(stays, "ping")
	if _, err := io.ReadFull(stays, make([]byte, 4)); err != nil {
		t.Errorf("a connection of a port that stays: %v", err)
	}
	conn, err := net.Dial("tcp", at("127.0.0.1", second[0].Host))
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestTakenPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	number := netip.MustParseAddrPort(l.Addr().String()).Port()
	p := newPorts(t)
	ours := spec.Port{Guest: 80, Auto: true}
	_, err = p.Publish([]spec.Port{ours, {Guest: 81, Host: number}})
	e, ok := errors.AsType[*driver.Error](err)
	if !ok || !errors.Is(err, driver.ErrBusy) || !strings.Contains(e.Next, fmt.Sprintf("auto:%d", 81)) {
		t.Errorf("%v, next %q", err, driver.Next(err))
	}
	if s := p.State(); len(s) != 0 {
		t.Errorf("%+v is published although one of them can't be", s)
	}
	// Of two workspaces the first has it.
	other := newPorts(t)
	bound := publish(t, other, "auto:80")
	if _, err := p.Publish([]spec.Port{{Guest: 80, Host: bound[0].Host}}); !errors.Is(err, driver.ErrBusy) {
		t.Error(err)
	}
	if _, err := p.Publish([]spec.Port{{Guest: 80, Host: 8080, Address: "203.0.113.1"}}); !errors.Is(err, driver.ErrNotFound) {
		t.Error(err)
	}
}

func TestRangesAndOtherAddresses(t *testing.T) {
	p := newPorts(t)
	bound := publish(t, p, "auto:8000-8003", "0.0.0.0:auto:80", "127.0.0.1:auto:81/udp", "[::]:auto:82", "0.0.0.0:auto:83/udp", "[::]:auto:84/udp")
	if len(bound) != 9 {
		t.Fatalf("%+v", bound)
	}
	for _, b := range bound {
		if b.Host == 0 || b.Count != 0 {
			t.Errorf("%+v has no number", b)
		}
	}
	if stolen(at("0.0.0.0", bound[4].Host)) || stolen(at("127.0.0.1", bound[4].Host)) {
		t.Error("another program could take a port that is bound on all addresses")
	}
}

func TestOldGuestSaysSo(t *testing.T) {
	p := newPorts(t)
	publish(t, p, "auto:80")
	if err := p.Serve(t.Context(), old{}); !errors.Is(err, driver.ErrUnsupported) {
		t.Error(err)
	}
}

type old struct{ *fake }

func (old) Listening(context.Context, []proto.Port) (Watch, error) {
	return nil, &driver.Error{Class: driver.ErrUnsupported, Op: "watch ports"}
}

// TestLent: a port of another part of the program is bound, is not shown, and goes with all.
func TestLent(t *testing.T) {
	p := New(slog.New(slog.DiscardHandler), 1<<30)
	bound, err := p.Lend([]spec.Port{{Guest: 80, Auto: true}})
	if err != nil || len(bound) != 1 {
		t.Fatalf("%+v, %v", bound, err)
	}
	if shown := p.State(); len(shown) != 0 {
		t.Errorf("%+v is shown", shown)
	}
	own := bound[0]
	own.Auto = false
	if _, err := p.Publish([]spec.Port{own}); !errors.Is(err, driver.ErrBusy) {
		t.Errorf("it is not bound: %v", err)
	}
	p.Close()
	if _, err := p.Publish([]spec.Port{own}); err != nil {
		t.Errorf("it is left: %v", err)
	}
	p.Close()
}
