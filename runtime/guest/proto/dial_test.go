package proto

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// guestThat answers the header of a dial with said, and gives both ends of its stream.
func guestThat(t *testing.T, s *Session, said string) *Connection {
	t.Helper()
	s.dial = func(context.Context, uint32) (net.Conn, error) {
		host, guest := net.Pipe()
		t.Cleanup(func() { guest.Close() })
		go func() { _, _ = io.Copy(io.Discard, guest) }()
		go func() { _, _ = io.WriteString(guest, said) }()
		return host, nil
	}
	c, err := s.Dial(t.Context(), Port{Number: 80})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const (
	okFrame   = "O\x00\x00\x00\x00"
	endFrame  = "E\x00\x00\x00\x00"
	nextFrame = "N\x00\x00\x00\x00"
)

// TestHostileEnds: only a stream that both have ended, and that the guest let go of in its turn, is used again.
func TestHostileEnds(t *testing.T) {
	for said, ends := range map[string]bool{
		okFrame + endFrame + nextFrame:                    false, // before we said that we end
		okFrame + endFrame + "D\x00\x00\x00\x01x":         true,
		okFrame + endFrame + endFrame:                     true,
		okFrame + endFrame + "N\x00\x00\x00\x01x":         true,
		okFrame + endFrame + "N\xff\xff\xff\xff":          true,
		okFrame + "D\x00\x00\x00\x01xX\x00\x00\x00\x00":   true,
		okFrame + "D\x00\x00\x00\x01x" + nextFrame + "EE": true,
		nextFrame + endFrame:                              true,
	} {
		s := &Session{hello: Hello{Capabilities: []string{CapDial}}, streams: newStreams()}
		c := guestThat(t, s, said)
		_, readErr := io.ReadAll(c)
		if ends {
			_ = c.CloseWrite()
		}
		if err := errors.Join(readErr, c.Over()); err == nil {
			t.Errorf("%q is over", said)
		}
		_ = c.Close()
		if s.streams.take() != nil {
			t.Errorf("%q: its stream is kept", said)
		}
	}
}

func TestStreamsThatAreKeptAreBounded(t *testing.T) {
	s := &Session{hello: Hello{Capabilities: []string{CapDial}}, streams: newStreams()}
	var all []*Connection
	for range maxIdle + 3 {
		c := guestThat(t, s, okFrame+endFrame+nextFrame)
		_, err := io.ReadAll(c)
		if err := errors.Join(err, c.CloseWrite(), c.Over()); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	for _, c := range all {
		_ = c.Close()
		_ = c.Close()
	}
	if n := len(s.streams.idle); n != maxIdle {
		t.Fatalf("%d are kept", n)
	}
	kept := s.streams.idle[0]
	s.streams.end()
	if _, err := kept.Write([]byte("x")); err == nil {
		t.Error("a stream outlives its session")
	}
	late := guestThat(t, s, okFrame+endFrame+nextFrame)
	_, err := io.ReadAll(late)
	if err := errors.Join(err, late.CloseWrite(), late.Over(), late.Close()); err != nil {
		t.Fatal(err)
	}
	if s.streams.take() != nil {
		t.Error("one is kept after the session's end")
	}
}

// TestFewStreamsAreOpenedAtATime has hundreds of dials at once, and a dial that waits and is taken back.
func TestFewStreamsAreOpenedAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Session{hello: Hello{Capabilities: []string{CapDial}}, streams: newStreams()}
		var opening, most atomic.Int32
		s.dial = func(context.Context, uint32) (net.Conn, error) {
			if n := opening.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(time.Second)
			opening.Add(-1)
			host, guest := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, guest) }()
			return host, nil
		}
		var dials sync.WaitGroup
		for range 200 {
			dials.Go(func() {
				c, err := s.Dial(t.Context(), Port{Number: 80})
				if err != nil {
					t.Error(err)
					return
				}
				_ = c.Close()
			})
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := s.Dial(ctx, Port{Number: 80}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a dial that nobody waits for: %v", err)
		}
		dials.Wait()
		if most.Load() != maxOpening {
			t.Errorf("%d at a time", most.Load())
		}
	})
}
