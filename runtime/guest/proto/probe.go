package proto

import (
	"context"
	"io"
	"time"

	"google.golang.org/protobuf/proto"

	"microagent/runtime/frame"
	"microagent/runtime/guest/proto/wire"
)

// MaxSaid bounds what is told of what a probe's command wrote, in bytes.
const MaxSaid = 1 << 10

// Probed is how one run of a probe's command ended.
type Probed struct {
	Code     int // 126 not executable, 127 not found
	TimedOut bool
	Said     string // the end of what it wrote
}

// Probes is what a guest tells of a probe until it is closed.
type Probes struct {
	st   *Stream
	told *Datagrams
	buf  []byte
}

const opProbe = "probe guest"

// Probe has the guest run a command at each interval, one at a time; one that takes longer is followed at once by the
// next. Ending ctx ends it.
func (s *Session) Probe(ctx context.Context, c Command, interval, timeout time.Duration) (*Probes, error) {
	if !s.hello.Has(CapProbe) {
		return nil, &GuestError{Op: opProbe, Code: CodeUnsupported, Message: "the guest's agent is older than probes of its own"}
	}
	req, err := proto.Marshal(&wire.ProbeRequest{Process: c.wire(), IntervalNanos: int64(interval), TimeoutNanos: int64(timeout)})
	if err != nil {
		return nil, &GuestError{Op: opProbe, Code: CodeInvalid, Message: err.Error()}
	}
	if len(req) > MaxRequest {
		return nil, &GuestError{Op: opProbe, Code: CodeTooLarge, Message: "command and environment are too large"}
	}
	st, err := open(ctx, s.dial, &wire.StreamHeader{Kind: KindProbe})
	if err != nil {
		return nil, streamError(opProbe, err)
	}
	defer context.AfterFunc(ctx, func() { _ = st.Close() })()
	if _, err = st.Write(req); err == nil {
		err = st.CloseWrite()
	}
	if err != nil {
		_ = st.Close()
		return nil, streamError(opProbe, err)
	}
	return &Probes{st: st, told: NewDatagrams(st), buf: make([]byte, 2*MaxSaid)}, nil
}

// ReadProbe is the guest's side of Probe: what the host asks for.
func ReadProbe(st *Stream) (*wire.ProbeRequest, error) {
	data, err := io.ReadAll(io.LimitReader(st, MaxRequest+1))
	if err != nil {
		return nil, err
	}
	req := &wire.ProbeRequest{}
	switch {
	case len(data) > MaxRequest:
		return nil, Errorf(CodeTooLarge, "command and environment are too large")
	case proto.Unmarshal(data, req) != nil:
		return nil, Errorf(CodeInvalid, "what is to be probed is not to be understood")
	case req.GetIntervalNanos() <= 0:
		return nil, Errorf(CodeInvalid, "a probe needs an interval")
	}
	return req, nil
}

// SendProbed is the guest's side of Next.
func SendProbed(to *Datagrams, r *wire.ProbeResult) error {
	r.Said = r.Said[max(0, len(r.Said)-MaxSaid):]
	data, err := proto.Marshal(r)
	if err != nil {
		return err
	}
	return to.Send(data)
}

// Next waits for the next run that is told of: the first, each that failed, and one that passed after one that failed.
func (p *Probes) Next() (Probed, error) {
	n, err := p.told.Receive(p.buf)
	if err != nil {
		return Probed{}, streamError(opProbe, frame.Cut(err))
	}
	r := &wire.ProbeResult{}
	if err := proto.Unmarshal(p.buf[:n], r); err != nil {
		return Probed{}, streamError(opProbe, &FrameError{"the result of a probe: " + err.Error()})
	}
	return Probed{exitCode(r.GetCode()), r.GetTimedOut(), string(r.GetSaid())}, nil
}

// Close ends the probe, and a Next that waits.
func (p *Probes) Close() error { return p.st.Close() }
