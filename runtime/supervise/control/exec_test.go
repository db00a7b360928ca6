package control

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"microagent/runtime/driver"
	"microagent/runtime/frame"
	"microagent/runtime/layout"
)

// steered takes n things done to a process.
func steered(ctx context.Context, n int, s ExecStreams) (got []string) {
	for range n {
		select {
		case w := <-s.Steering:
			if w.Signal == "" {
				w.Signal = fmt.Sprintf("%dx%d", w.Size.Rows, w.Size.Columns)
			}
			got = append(got, w.Signal)
		case <-ctx.Done():
			return append(got, "hung up")
		}
	}
	return got
}

// Signals and sizes that are sent at once, before the process is known to run and after, arrive all and in order.
func TestSteeringArrivesInOrder(t *testing.T) {
	const n = 100
	started, arrived := make(chan struct{}), make(chan []string, 1)
	client := listening(t, booting{exec: func(ctx context.Context, _ Exec, s ExecStreams) (Exit, error) {
		got := steered(ctx, n, s) // nobody was told that it runs
		started <- struct{}{}
		arrived <- append(got, steered(ctx, n, s)...)
		return Exit{Code: 7}, nil
	}})
	for _, terminal := range []bool{false, true} {
		t.Run(fmt.Sprintf("terminal %v", terminal), func(t *testing.T) {
			var want []string
			signals, sizes := make(chan string, n), make(chan driver.WindowSize, n+1)
			sizes <- driver.WindowSize{Rows: 24, Columns: 80} // the one at the start
			send := func(i int) {
				if terminal {
					sizes <- driver.WindowSize{Rows: uint16(i), Columns: 80}
				} else {
					signals <- fmt.Sprint("SIG", i)
				}
			}
			for i := range 2 * n {
				if want = append(want, fmt.Sprint("SIG", i)); terminal {
					want[i] = fmt.Sprintf("%dx80", i)
				}
				if i < n {
					send(i)
				}
			}
			go func() {
				<-started
				for i := range n {
					send(n + i)
				}
			}()
			code, _, err := client.Exec(t.Context(), driver.ExecSpec{Argv: []string{"x"}}, driver.Streams{Terminal: terminal, Resize: sizes, Signals: signals})
			if err != nil || code != 7 {
				t.Fatalf("%d, %v", code, err)
			}
			if got := <-arrived; !slices.Equal(got, want) {
				t.Errorf("got %v", got)
			}
		})
	}
}

// endless is input that never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// A signal does not wait behind input that the process does not read.
func TestSignalOvertakesInput(t *testing.T) {
	client := listening(t, booting{exec: func(ctx context.Context, _ Exec, s ExecStreams) (Exit, error) {
		if got := steered(ctx, 1, s); len(got) != 1 || got[0] != "INT" {
			t.Errorf("got %v", got)
		}
		return Exit{Code: 130}, nil
	}})
	filled := &counting{r: endless{}, at: inputRoom, reached: make(chan struct{})}
	signals := make(chan string)
	go func() { <-filled.reached; signals <- "INT" }()
	code, _, err := client.Exec(t.Context(), driver.ExecSpec{Argv: []string{"sleep"}}, driver.Streams{Stdin: filled, Signals: signals})
	if err != nil || code != 130 {
		t.Errorf("%d, %v", code, err)
	}
}

// counting closes reached when so many bytes were read.
type counting struct {
	r       io.Reader
	n, at   int
	reached chan struct{}
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if before := c.n; before < c.at && before+n >= c.at {
		close(c.reached)
	}
	c.n += n
	return n, err
}

// Input of many grants arrives whole, ends, and comes back as output at the same time.
func TestInputGoesAsFarAsItIsGranted(t *testing.T) {
	client := listening(t, booting{exec: func(_ context.Context, _ Exec, s ExecStreams) (Exit, error) {
		_, err := io.Copy(s.Stdout, struct{ io.Reader }{s.Stdin})
		return Exit{}, err
	}})
	data := make([]byte, 5*inputRoom+12345)
	for i := range data {
		data[i] = byte(i % 251)
	}
	sum := sha256.New()
	if _, _, err := client.Exec(t.Context(), driver.ExecSpec{Argv: []string{"cat"}}, driver.Streams{Stdin: bytes.NewReader(data), Stdout: sum}); err != nil {
		t.Fatal(err)
	}
	if want := sha256.Sum256(data); !bytes.Equal(sum.Sum(nil), want[:]) {
		t.Error("what came back is not what was sent")
	}
}

// A client that goes away hangs up, with a process that reads its input and with one that does not; one that does not keep to
// the protocol is hung up on.
func TestHangUp(t *testing.T) {
	over := make(chan error, 1)
	client := listening(t, booting{exec: func(ctx context.Context, e Exec, s ExecStreams) (Exit, error) {
		if e.Spec.Argv[0] == "cat" {
			_, err := io.Copy(io.Discard, s.Stdin)
			over <- err
		}
		<-ctx.Done()
		if e.Spec.Argv[0] != "cat" {
			over <- ctx.Err()
		}
		return Exit{}, ctx.Err()
	}})
	goAway := func(conn *net.UnixConn, ch *channel) error { return conn.CloseWrite() }
	send := func(kind byte, content []byte) func(*net.UnixConn, *channel) error {
		return func(_ *net.UnixConn, ch *channel) error { return ch.send(kind, content) }
	}
	for name, do := range map[string]func(*net.UnixConn, *channel) error{
		"goes away":              goAway,
		"sends more than it may": send(frameInput, make([]byte, inputRoom+1)),
		"unreadable steering":    send(frameSteering, []byte("{")),
		"another request":        send(frameRequest, []byte("{}")),
	} {
		for _, command := range []string{"cat", "sleep"} {
			conn, err := client.dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			ch := newChannel(conn)
			request := execRequest{Client{}.head(CallExec), &execWire{ID: name + command, Spec: specWire{Argv: []string{command}}, Input: true, Steered: true}}
			if err := errors.Join(ch.sendJSON(frameRequest, request), ch.send(frameInput, []byte("a")), do(conn.(*net.UnixConn), ch)); err != nil {
				t.Fatal(err)
			}
			if err := <-over; err == nil {
				t.Errorf("%s: the input of %s ended as if it were whole", name, command)
			}
			conn.Close()
		}
	}
}

// A client of f365b52 signals by a call of its own, and its input comes as it has it.
func TestAnOldClientIsServed(t *testing.T) {
	client := listening(t, booting{exec: func(ctx context.Context, _ Exec, s ExecStreams) (Exit, error) {
		got := steered(ctx, 2, s)
		if _, err := io.Copy(s.Stdout, s.Stdin); err != nil {
			return Exit{}, err
		}
		_, err := fmt.Fprint(s.Stdout, got)
		return Exit{Code: 3}, err
	}})
	conn, err := client.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ch := newChannel(conn)
	send := func(kind byte, content string) {
		t.Helper()
		if err := ch.send(kind, []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	send('Q', `{"version":1,"call":"exec","exec":{"id":"abc","spec":{"Argv":["x"],"Env":null,"User":"","Workdir":"","Timeout":0,"Collect":false},"input":true}}`)
	ask := func(request string) string {
		t.Helper()
		for {
			payload, err := client.carry(t.Context(), exchange{request: json.RawMessage(request)})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(payload), "no such process runs") { // as a client of f365b52 does
				return string(payload)
			}
		}
	}
	for _, request := range []string{`{"version":1,"call":"signal","id":"abc","signal":"TERM"}`, `{"version":1,"call":"resize","id":"abc","rows":30,"columns":90}`} {
		if got := ask(request); got != "{}" {
			t.Errorf("%s: %s", request, got)
		}
	}
	big := strings.Repeat("x", 100<<10)
	go func() {
		for range 8 { // more than a steered one is granted
			_ = ch.send('i', []byte(big))
		}
		_ = ch.send('e', nil)
	}()
	var out strings.Builder
	for {
		kind, payload, err := ch.receive()
		if err != nil {
			t.Fatal(err)
		}
		if kind == 'R' {
			if string(payload) != `{"code":3}` {
				t.Errorf("result %s", payload)
			}
			break
		}
		if kind != 'o' {
			t.Fatalf("an old client gets a frame %q", kind)
		}
		out.Write(payload)
	}
	if got := out.String(); got != strings.Repeat(big, 8)+"[TERM 30x90]" {
		t.Errorf("%d bytes, at the end %s", len(got), got[max(0, len(got)-30):])
	}
}

// A supervisor of f365b52 does not know an exec before it has started, and gets no frames that it does not know.
func TestAnOldSupervisorIsSteeredByCalls(t *testing.T) {
	folder := layout.Workspace{Dir: t.TempDir()}
	l, err := net.Listen("unix", folder.File(layout.ControlSocket))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	defer func() { l.Close(); <-done }()
	go func() {
		defer close(done)
		answerOld(t, l)
	}()
	signals := make(chan string, 1)
	signals <- "INT"
	var out strings.Builder
	code, _, err := Client{Folder: folder}.Exec(t.Context(), driver.ExecSpec{Argv: []string{"x"}},
		driver.Streams{Stdin: strings.NewReader("in"), Stdout: &out, Signals: signals})
	if err != nil || code != 130 || out.String() != "in" {
		t.Errorf("%d, %v, %q", code, err, out.String())
	}
}

// answerOld serves one exec as f365b52 does. It ends by the signal, which it refuses twice before.
func answerOld(t *testing.T, l net.Listener) {
	signalled, refused := make(chan struct{}), 0
	answer := func(conn net.Conn, content string) {
		if err := newChannel(conn).send('R', []byte(content)); err != nil {
			t.Error(err)
		}
		conn.Close()
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		kind, payload, err := frame.Read(conn, maxFrame)
		if err != nil || kind != 'Q' {
			t.Errorf("%q, %v", kind, err)
			continue
		}
		var h header
		if err := json.Unmarshal(payload, &h); err != nil {
			t.Error(err)
		}
		switch h.Call {
		case CallHello:
			answer(conn, `{"version":1,"tool":"old","run":{"id":"1","phase":"running","started":"2026-01-02T03:04:05Z"}}`)
		case CallExec:
			go func() {
				if bytes.Contains(payload, []byte("steered")) {
					t.Errorf("an old supervisor is asked for %s", payload)
				}
				data, err := io.ReadAll(&inputReader{c: newChannel(conn)})
				if err != nil {
					t.Error(err)
				}
				_ = newChannel(conn).send('o', data)
				<-signalled
				answer(conn, `{"code":130}`)
			}()
		case CallSignal:
			if refused++; refused <= 2 {
				answer(conn, `{"failure":{"class":"not_found","op":"signal","object":"x","message":"no such process runs"}}`)
				continue
			}
			answer(conn, `{}`)
			close(signalled)
		}
	}
}
