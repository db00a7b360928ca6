package serialmux

import (
	"bufio"
	"encoding/binary"
	"errors"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/yamux"
)

// TestGuestThatPings answers the preamble, then sends pings and reads nothing.
func TestGuestThatPings(t *testing.T) {
	host, guest := net.Pipe()
	defer guest.Close()
	go func() {
		hello := newHello()
		_, _ = guest.Write(hello)
		_ = await(bufio.NewReader(guest), hello)
		ping := []byte{0, framePing, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1}
		for range 100_000 {
			if _, err := guest.Write(ping); err != nil {
				return
			}
		}
	}()
	before := runtime.NumGoroutine()
	s, err := Host(t.Context(), host)
	if errors.Is(err, yamux.ErrSessionShutdown) {
		return // the first ping came before Host returned
	}
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Done():
	case <-time.After(10 * time.Second):
		t.Errorf("the session goes on, with %d goroutines", runtime.NumGoroutine()-before)
	}
	_ = s.Close()
}

func TestPingsAreFoundAmongDataInPieces(t *testing.T) {
	frame := func(kind byte, body string) string {
		h := make([]byte, frameHeader)
		h[1] = kind
		binary.BigEndian.PutUint32(h[8:], uint32(len(body)))
		return string(h) + body
	}
	decoy := strings.Repeat("\x00\x02", 50)
	window := make([]byte, frameHeader)
	window[1] = 1
	binary.BigEndian.PutUint32(window[8:], 1<<20)
	good := frame(frameData, decoy) + string(window) + frame(frameData, "") + frame(frameData, decoy)
	for piece := 1; piece < 40; piece++ {
		for text, want := range map[string]error{good: nil, good + frame(framePing, ""): errPing} {
			c := &noPings{}
			var err error
			for rest := []byte(text); len(rest) > 0 && err == nil; {
				n := min(piece, len(rest))
				err = c.follow(rest[:n])
				rest = rest[n:]
			}
			if err != want {
				t.Errorf("in pieces of %d: %v, not %v", piece, err, want)
			}
		}
	}
}
