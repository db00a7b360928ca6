package proto

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"

	"google.golang.org/protobuf/proto"

	"microagent/runtime/guest/proto/wire"
)

// Streams are the standard streams of a process on the host's side. A nil Stdin is an empty one, a nil Stdout or
// Stderr is thrown away in the guest. With ExecSpec.Terminal Stdout takes what the terminal prints and Stderr is
// unused. The process is slowed down to what the writers take.
type Streams struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Process is a process that was started in a guest. Wait must be called; Close when it won't be.
type Process struct {
	session *Session
	id      string
	input   *Stream // stdin or tty; nil without
	outputs []*Stream
	copies  sync.WaitGroup
	mu      sync.Mutex
	failed  error
}

// Start runs a process. ctx counts until it was started. A command that is missing or can't be executed is no error
// here: Wait gives 127 or 126, and says why.
//
// Start reads Stdin until it ends or the process has ended; like os/exec it can't interrupt a Read in progress, so
// that one more read of Stdin may be under way after Wait returned.
func (s *Session) Start(ctx context.Context, spec ExecSpec, streams Streams) (*Process, error) {
	if spec.ID == "" {
		var b [8]byte
		_, _ = rand.Read(b[:])
		spec.ID = hex.EncodeToString(b[:])
	}
	p := &Process{session: s, id: spec.ID}
	op := "start process"
	req := &wire.StartRequest{
		Id: spec.ID, Main: spec.Main, Process: spec.Command.wire(), Terminal: spec.Terminal,
		TimeoutNanos: int64(spec.Timeout),
		Stdin:        spec.Terminal || streams.Stdin != nil,
		Stdout:       spec.Terminal || streams.Stdout != nil,
		Stderr:       !spec.Terminal && streams.Stderr != nil,
	}
	if spec.Terminal { // a guest makes the type of a message when it first sees one
		req.Size = spec.Size.wire()
	}
	if proto.Size(req) > MaxRequest {
		return nil, &GuestError{Op: op, Code: CodeTooLarge, Message: "command and environment are too large"}
	}
	copies, err := p.attach(ctx, req, streams)
	if err != nil {
		_ = p.Close()
		return nil, streamError(op, err)
	}
	_, err = s.agent.Start(ctx, req)
	if err != nil {
		_ = p.Close()
		return nil, callError(op, err)
	}
	for _, c := range copies {
		p.copies.Go(c)
	}
	if p.input != nil && streams.Stdin != nil {
		go p.feed(streams.Stdin)
	}
	return p, nil
}

// attach opens the streams that the process has and gives what copies from them.
func (p *Process) attach(ctx context.Context, req *wire.StartRequest, streams Streams) (copies []func(), err error) {
	link := func(kind string) (*Stream, error) {
		return open(ctx, p.session.dial, &wire.StreamHeader{Kind: kind, ExecId: p.id})
	}
	output := func(st *Stream, w io.Writer) {
		p.outputs = append(p.outputs, st)
		copies = append(copies, func() { p.drain(st, w) })
	}
	if req.GetTerminal() {
		st, err := link(KindTTY)
		if err != nil {
			return nil, err
		}
		p.input = st
		w := streams.Stdout
		if w == nil {
			w = io.Discard
		}
		output(st, w)
		return copies, nil
	}
	if req.GetStdin() {
		if p.input, err = link(KindStdin); err != nil {
			return nil, err
		}
	}
	for _, o := range []struct {
		kind string
		w    io.Writer
	}{{KindStdout, streams.Stdout}, {KindStderr, streams.Stderr}} {
		if o.w == nil {
			continue
		}
		st, err := link(o.kind)
		if err != nil {
			return nil, err
		}
		output(st, o.w)
	}
	return copies, nil
}

func (p *Process) drain(st *Stream, w io.Writer) {
	_, err := io.Copy(w, st)
	if err != nil {
		p.mu.Lock()
		p.failed = errors.Join(p.failed, streamError("read output of process", err))
		p.mu.Unlock()
	}
	if st != p.input {
		_ = st.Close()
	}
}

func (p *Process) feed(r io.Reader) {
	// Whether the reader ended or broke, or the process takes no more: its input ends here.
	_, _ = io.Copy(p.input, r)
	_ = p.input.CloseWrite()
}

// ID names the process in the guest.
func (p *Process) ID() string { return p.id }

// Wait returns when the process has ended and its output was written whole. The error is of class ErrUnavailable
// when the guest is gone, and says so when output was cut off; Exit is meaningful beside an error about output.
// Ending ctx ends the waiting and closes the streams, not the process.
func (p *Process) Wait(ctx context.Context) (Exit, error) {
	defer func() { _ = p.Close() }()
	resp, err := p.session.agent.Wait(ctx, &wire.WaitRequest{Id: p.id})
	if err != nil {
		return Exit{Code: unknownCode}, callError("wait for process", err)
	}
	exit := Exit{
		Code: exitCode(resp.GetCode()), Signal: int(resp.GetSignal()), TimedOut: resp.GetTimedOut(), Message: cut(resp.GetMessage()),
		OutOfMemory: cut(resp.GetOutOfMemory()),
	}
	stop := context.AfterFunc(ctx, p.closeStreams)
	p.copies.Wait()
	if !stop() {
		return exit, fmt.Errorf("wait for process: %w", context.Cause(ctx))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return exit, p.failed
}

// unknownCode is the exit code of a process of which the guest does not say how it ended: none that ended well.
const unknownCode = 255

// exitCode takes a code of the guest's for what a process can end with: the host's own would be cut to its low byte,
// which makes a success of some.
func exitCode(code int32) int {
	if code < 0 || code > 255 {
		return unknownCode
	}
	return int(code)
}

// Signal sends a signal ("TERM", "SIGTERM", "15") to the process group.
func (p *Process) Signal(ctx context.Context, signal string) error {
	_, err := p.session.agent.Signal(ctx, &wire.SignalRequest{Id: p.id, Signal: signal})
	return callError("signal process", err)
}

// Resize sets the size of its terminal.
func (p *Process) Resize(ctx context.Context, size WindowSize) error {
	_, err := p.session.agent.Resize(ctx, &wire.ResizeRequest{Id: p.id, Size: size.wire()})
	return callError("resize terminal", err)
}

// Close lets go of the streams: the process finds its output closed and its input ended, and is not signalled.
func (p *Process) Close() error {
	p.closeStreams()
	p.copies.Wait()
	return nil
}

func (p *Process) closeStreams() {
	for _, st := range p.outputs {
		_ = st.Close()
	}
	if p.input != nil {
		_ = p.input.Close()
	}
}
