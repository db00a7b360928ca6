package control

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

type duplex struct {
	io.Reader
	io.Writer
}

func FuzzReceive(f *testing.F) {
	f.Add([]byte("Q\x00\x00\x00\x02{}"))
	f.Add([]byte("i\x7f\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := newChannel(duplex{bytes.NewReader(data), io.Discard})
		for {
			kind, payload, err := c.receive()
			if err != nil {
				return
			}
			if len(payload) > maxFrame || len(payload) > len(data) {
				t.Fatalf("frame %q of %d bytes", kind, len(payload))
			}
		}
	})
}

func TestInputEndsByItsFrameOnly(t *testing.T) {
	var buf bytes.Buffer
	c := newChannel(&buf)
	if err := c.send(frameInput, []byte("abc")); err != nil {
		t.Fatal(err)
	}
	whole := buf.String()
	if data, err := io.ReadAll(&inputReader{c: newChannel(duplex{strings.NewReader(whole), io.Discard})}); !errors.Is(err, io.ErrUnexpectedEOF) || string(data) != "abc" {
		t.Errorf("cut off: %q, %v", data, err)
	}
	if err := c.send(frameInputEnd, nil); err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(&inputReader{c: c}); err != nil || string(data) != "abc" {
		t.Errorf("whole: %q, %v", data, err)
	}
}
