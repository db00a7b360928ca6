package agent

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
	"microagent/runtime/guest/proto/wire"
)

// still is a machine that was not set up.
type still struct{ err error }

func (m still) Setup(context.Context, *wire.ConfigureRequest, Owner) error { return m.err }
func (still) MountDisk(*wire.Mount, Owner) error                           { return nil }
func (still) UnmountDisk(string) error                                     { return nil }
func (still) Online(context.Context, int, int64) error                     { return nil }
func (still) Grow(string, int64) (int64, error)                            { return 0, nil }
func (still) Freezer(string) (Freezer, error)                              { return nil, os.ErrNotExist }
func (still) Trim(string) (int64, error)                                   { return 0, nil }
func (still) AddEntropy([]byte) error                                      { return nil }
func (still) SetClock(int64) error                                         { return nil }
func (still) KillAll()                                                     {}
func (still) Unmount() []string                                            { return nil }
func (still) Link() *os.File                                               { return nil }
func (still) PowerOff()                                                    {}

// serve runs an agent on unix sockets and gives a dialler.
func serve(t *testing.T, m System) (*Agent, proto.Dialer) {
	t.Helper()
	dir := t.TempDir()
	listen := func(name string) net.Listener {
		l, err := net.Listen("unix", filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	control, streams := listen("control"), listen("streams")
	a := New(m, NewLog(io.Discard))
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- a.Serve(ctx, control, streams) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return a, func(ctx context.Context, port uint32) (net.Conn, error) {
		name := map[uint32]string{proto.ControlPort: "control", proto.StreamPort: "streams"}[port]
		var d net.Dialer
		return d.DialContext(ctx, "unix", filepath.Join(dir, name))
	}
}

func TestUnconfiguredGuestRefuses(t *testing.T) {
	_, dial := serve(t, still{errors.New("no root")})
	s, err := proto.Connect(t.Context(), dial)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if h := s.Hello(); h.Configured || h.Major != proto.Major || !h.Has(proto.CapExec) || h.Has("flying") {
		t.Errorf("hello %+v", h)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Configure(t.Context(), proto.Config{}); !errors.Is(err, driver.ErrGuest) || !strings.Contains(err.Error(), "no root") {
		t.Errorf("configure: %v", err)
	}
	_, err = s.Start(t.Context(), proto.ExecSpec{Command: proto.Command{Argv: []string{"true"}}}, proto.Streams{Stdout: io.Discard})
	if !errors.Is(err, driver.ErrRefused) {
		t.Errorf("start: %v", err)
	}
	if _, err := s.Fetch(t.Context(), "/etc", 0, ""); !errors.Is(err, driver.ErrRefused) {
		t.Errorf("fetch: %v", err)
	}
	if err := s.Put(t.Context(), "/etc", strings.NewReader("")); !errors.Is(err, driver.ErrRefused) {
		t.Errorf("put: %v", err)
	}
	if _, err := s.Stat(t.Context(), "/etc", false); !errors.Is(err, driver.ErrRefused) {
		t.Errorf("stat: %v", err)
	}
}

func TestUnknownStreamIsAnswered(t *testing.T) {
	a, _ := serve(t, still{})
	host, guest := net.Pipe()
	go func() {
		a.serveStream(t.Context(), guest)
		guest.Close()
	}()
	// A header of kind "x": type, length, and protobuf field 1.
	if _, err := host.Write([]byte("H\x00\x00\x00\x03\x0a\x01x")); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(host)
	if err != nil || !strings.HasPrefix(string(answer), "X") || !strings.Contains(string(answer), `knows no stream of kind "x"`) {
		t.Errorf("%q, %v", answer, err)
	}
}

func TestOneStreamOfAKind(t *testing.T) {
	w := newWaiting()
	key := streamKey{"p", proto.KindStdout}
	if err := w.put(key, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.put(key, nil); !errors.Is(err, driver.ErrExists) {
		t.Errorf("the same again: %v", err)
	}
	w.take(key)
	if err := w.put(key, nil); err != nil {
		t.Errorf("after it was taken: %v", err)
	}
	w.take(key)
}

func TestLogKeepsTheEnd(t *testing.T) {
	var console strings.Builder
	l := NewLog(&console)
	l.Printf("one\ntwo")
	if got := console.String(); got != "microagent-init: one\nmicroagent-init: two\n" {
		t.Errorf("console %q", got)
	}
	for range 2000 {
		l.Printf("%s", strings.Repeat("x", 100))
	}
	data, position, _ := l.after(0)
	if len(data) > logKept || position <= logKept {
		t.Errorf("kept %d bytes, position %d", len(data), position)
	}
	more, _, next := l.after(position)
	if len(more) != 0 {
		t.Errorf("%d bytes after the end", len(more))
	}
	l.Printf("last")
	<-next
	if more, _, _ = l.after(position); string(more) != "microagent-init: last\n" {
		t.Errorf("new %q", more)
	}
}
