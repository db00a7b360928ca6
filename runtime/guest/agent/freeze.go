package agent

import (
	"context"
	"sync"
	"time"

	"microagent/runtime/guest/proto"
	"microagent/runtime/guest/proto/wire"
)

// Freezer holds the file system of one disk. Freeze waits for what is written at that moment, and blocks whoever writes
// after it until Thaw; Sync before it makes that short. Close lets go of it, and thaws nothing.
type Freezer interface {
	Sync() error
	Freeze() error
	Thaw() error
	Close() error
}

// freezes are the file systems that are frozen now, by the serial of their disk. Each ends by itself.
type freezes struct {
	mu     sync.Mutex
	closed bool
	held   map[string]*freeze
}

type freeze struct {
	Freezer
	limit *time.Timer // nil until it is frozen
	over  bool        // it was given up before it was
}

// Freeze freezes one file system for a while that this agent bounds, whatever becomes of the host.
func (a *Agent) Freeze(ctx context.Context, req *wire.FreezeRequest) (*wire.FreezeResponse, error) {
	if err := a.ready(); err != nil {
		return nil, err
	}
	serial := req.GetSerial()
	limit := min(time.Duration(req.GetLimitNanos()), proto.FreezeLimit)
	if limit <= 0 {
		return nil, proto.Errorf(proto.CodeInvalid, "a freeze without a time")
	}
	disk, err := a.system.Freezer(serial)
	if err != nil {
		return nil, answer(err)
	}
	f := &freeze{Freezer: disk}
	if err := a.frozen.reserve(serial, f); err != nil {
		_ = disk.Close()
		return nil, err
	}
	if err := a.frozen.begin(ctx, serial, f, limit); err != nil {
		return nil, answer(err)
	}
	return &wire.FreezeResponse{}, nil
}

// Thaw ends a freeze.
func (a *Agent) Thaw(_ context.Context, req *wire.ThawRequest) (*wire.ThawResponse, error) {
	held, err := a.frozen.end(req.GetSerial(), nil)
	if err != nil {
		return nil, answer(err)
	}
	if !held {
		return nil, proto.Errorf(proto.CodeRefused, "it is not frozen any more: its time was over")
	}
	return &wire.ThawResponse{}, nil
}

func (s *freezes) reserve(serial string, f *freeze) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return proto.Errorf(proto.CodeRefused, "the guest is shutting down")
	case s.held[serial] != nil:
		return proto.Errorf(proto.CodeRefused, "disk %s is frozen already", serial)
	}
	if s.held == nil {
		s.held = map[string]*freeze{}
	}
	s.held[serial] = f
	return nil
}

var errGivenUp = proto.Errorf(proto.CodeRefused, "it was given up")

// begin freezes what was reserved. A host that does not wait for it any more gets none.
func (s *freezes) begin(ctx context.Context, serial string, f *freeze, limit time.Duration) error {
	err := f.Sync()
	if err == nil {
		err = ctx.Err()
	}
	if err == nil && s.givenUp(f) {
		err = errGivenUp
	}
	since := time.Now()
	if err == nil {
		err = f.Freeze()
	}
	s.mu.Lock()
	if err != nil {
		if s.held[serial] == f {
			delete(s.held, serial)
		}
		s.mu.Unlock()
		_ = f.Close()
		return err
	}
	over := s.closed || f.over
	if !over {
		f.limit = time.AfterFunc(limit-time.Since(since), func() { _, _ = s.end(serial, f) })
	}
	s.mu.Unlock()
	if over || ctx.Err() != nil {
		_, err = s.end(serial, f)
		return orElse(err, errGivenUp)
	}
	return nil
}

func orElse(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

func (s *freezes) givenUp(f *freeze) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return f.over
}

// end thaws a file system; held is false where it is not frozen, or not by only, unless that is nil. What is about to be is
// given up.
func (s *freezes) end(serial string, only *freeze) (held bool, err error) {
	s.mu.Lock()
	f := s.held[serial]
	if f == nil || only != nil && f != only || f.limit == nil && only == nil {
		if f != nil && only == nil {
			f.over = true
		}
		s.mu.Unlock()
		return false, nil
	}
	delete(s.held, serial)
	if f.limit != nil {
		f.limit.Stop()
	}
	s.mu.Unlock()
	err = f.Thaw()
	_ = f.Close()
	return true, err
}

// close thaws all, and refuses what comes later.
func (s *freezes) close() {
	s.mu.Lock()
	s.closed = true
	var all []string
	for serial := range s.held {
		all = append(all, serial)
	}
	s.mu.Unlock()
	for _, serial := range all {
		_, _ = s.end(serial, nil)
	}
}

// Trim tells a disk what its file system does not use.
func (a *Agent) Trim(_ context.Context, req *wire.TrimRequest) (*wire.TrimResponse, error) {
	if err := a.ready(); err != nil {
		return nil, err
	}
	n, err := a.system.Trim(req.GetSerial())
	if err != nil {
		return nil, answer(err)
	}
	return &wire.TrimResponse{Bytes: n}, nil
}
