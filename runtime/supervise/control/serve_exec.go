package control

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"microagent/runtime/driver"
)

// steeringRoom is how much steering may be on its way to a process before those that send it wait.
const steeringRoom = 64

// inputRoom is how much input of a steered exec is kept for a process that does not read, in bytes.
const inputRoom = 256 << 10

// exec runs a process. It can be steered from here on.
func (s *Server) exec(v *serving, r *execWire) result {
	if r == nil || len(r.Spec.Argv) == 0 || r.ID == "" {
		return s.invalid("no command")
	}
	steering := make(chan Steering, steeringRoom)
	if !s.register(r.ID, steering) {
		return s.invalid("its id is taken")
	}
	defer s.unregister(r.ID)
	streams := ExecStreams{Stdout: v.stdout(), Steering: steering}
	if !r.Terminal {
		streams.Stderr = v.stderr()
	}
	switch {
	case r.Steered:
		in := newInbox(v)
		if r.Input {
			streams.Stdin = in
			in.grant(inputRoom)
		}
		go in.take(steering)
	case r.Input:
		streams.Stdin = &hangUp{r: &inputReader{c: v.c}, v: v}
	default:
		go v.watchHangUp()
	}
	exit, err := s.service.Exec(v.ctx, Exec{
		ID: r.ID, Spec: r.Spec.spec(), Terminal: r.Terminal, Size: driver.WindowSize{Rows: r.Rows, Columns: r.Columns},
	}, streams)
	return execResult{outcome{FailureOf(err)}, exit.Code, exit.TimedOut}
}

func (s *Server) invalid(why string) result {
	return outcome{FailureOf(&driver.Error{Class: driver.ErrInvalid, Op: "exec in workspace", Object: s.workspace, Err: errors.New(why)})}
}

// inbox takes what the client of a steered exec sends, and is the input of its process.
type inbox struct {
	v *serving

	mu   sync.Mutex
	more sync.Cond
	held []byte
	room int   // what the client may still send
	read int   // what was read since the last grant
	err  error // after held
}

func newInbox(v *serving) *inbox {
	in := &inbox{v: v}
	in.more.L = &in.mu
	return in
}

// grant lets the client send n bytes more.
func (in *inbox) grant(n int) {
	in.mu.Lock()
	in.room += n
	in.mu.Unlock()
	_ = in.v.c.send(frameGrant, binary.BigEndian.AppendUint32(nil, uint32(n)))
}

// take reads the connection to its end, and hangs up then. A client that does not keep to the protocol is hung up on.
func (in *inbox) take(steering chan<- Steering) {
	err := in.takeAll(steering)
	in.end(err)
	in.v.cancel()
}

func (in *inbox) takeAll(steering chan<- Steering) error {
	for {
		kind, payload, err := in.v.c.receive()
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		switch kind {
		case frameInput:
			if err := in.put(payload); err != nil {
				return err
			}
		case frameInputEnd:
			in.end(io.EOF)
		case frameSteering:
			var w steeringWire
			if err := json.Unmarshal(payload, &w); err != nil {
				return fmt.Errorf("control: %w", err)
			}
			select {
			case steering <- Steering{Signal: w.Signal, Size: driver.WindowSize{Rows: w.Rows, Columns: w.Columns}}:
			case <-in.v.ctx.Done():
				return in.v.ctx.Err()
			}
		default:
			return fmt.Errorf("control: a frame of type %q in an exec", kind)
		}
	}
}

// put keeps input until it is read.
func (in *inbox) put(p []byte) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.err != nil || len(p) > in.room {
		return errors.New("control: more input than was granted")
	}
	in.room -= len(p)
	in.held = append(in.held, p...)
	in.more.Broadcast()
	return nil
}

// end is the end of the input; the first one counts.
func (in *inbox) end(err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.err == nil {
		in.err = err
		in.more.Broadcast()
	}
}

// Read gives the client's input, and an error when that goes away before its input has ended.
func (in *inbox) Read(p []byte) (int, error) {
	n, again, err := in.next(p)
	if again > 0 {
		in.grant(again)
	}
	return n, err
}

// next waits for input, and says how much room there is again when that is worth a grant.
func (in *inbox) next(p []byte) (n, again int, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for len(in.held) == 0 {
		if in.err != nil {
			return 0, 0, in.err
		}
		in.more.Wait()
	}
	n = copy(p, in.held)
	if in.held = in.held[n:]; len(in.held) == 0 {
		in.held = nil
	}
	if in.read += n; in.read >= inputRoom/2 {
		again, in.read = in.read, 0
	}
	return n, again, nil
}

// hangUp is the input of an exec that is not steered. After its end it goes on listening, for the client's going away.
type hangUp struct {
	r *inputReader
	v *serving
}

func (h *hangUp) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		go h.v.watchHangUp()
	default:
		h.v.cancel()
	}
	return n, err
}
