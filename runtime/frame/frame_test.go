package frame

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// TestBytes: running guests and supervisors of other versions read these.
func TestBytes(t *testing.T) {
	var b bytes.Buffer
	w := Writer{W: &b, Limit: 300}
	if err := errors.Join(w.Send('Q', []byte("hi")), w.Send('e', nil)); err != nil {
		t.Fatal(err)
	}
	if b.String() != "Q\x00\x00\x00\x02hie\x00\x00\x00\x00" {
		t.Errorf("%q", b.String())
	}
	for _, want := range []struct {
		kind    byte
		content string
	}{{'Q', "hi"}, {'e', ""}} {
		if kind, content, err := Read(&b, 2); err != nil || kind != want.kind || string(content) != want.content {
			t.Errorf("%c %q, %v", kind, content, err)
		}
	}
	if _, _, err := Read(&b, 2); err != io.EOF {
		t.Errorf("the end: %v", err)
	}
}

func TestHeldFramesGoWithTheNext(t *testing.T) {
	var b bytes.Buffer
	w := Writer{W: &b, Limit: 3}
	if err := errors.Join(w.Hold('a', nil), w.Hold('b', []byte("x"))); err != nil || b.Len() > 0 {
		t.Fatalf("%v, %d bytes written", err, b.Len())
	}
	if w.SendInPlace('c', make([]byte, PrefixSize+4)) == nil || w.Hold('c', make([]byte, 4)) == nil || w.Send('c', make([]byte, 4)) == nil {
		t.Error("one is too large")
	}
	if err := w.Send('d', nil); err != nil || b.String() != "a\x00\x00\x00\x00b\x00\x00\x00\x01xd\x00\x00\x00\x00" {
		t.Errorf("%q, %v", b.String(), err)
	}
	b.Reset()
	if err := errors.Join(w.Hold('a', nil), w.SendInPlace('d', []byte("12345x"))); err != nil || b.String() != "a\x00\x00\x00\x00d\x00\x00\x00\x01x" {
		t.Errorf("%q, %v", b.String(), err)
	}
}

func TestLimits(t *testing.T) {
	var b bytes.Buffer
	w := Writer{W: &b, Limit: 3}
	if over, ok := errors.AsType[*TooLargeError](w.Send('x', make([]byte, 4))); !ok || over.Size != 4 || b.Len() > 0 {
		t.Errorf("%v, %d bytes written", over, b.Len())
	}
	if _, _, err := Read(bytes.NewReader([]byte("x\xFF\xFF\xFF\xFF")), 3); err == nil || err.Error() != "a frame of 4294967295 bytes" {
		t.Error(err)
	}
}

func TestCutFrames(t *testing.T) {
	whole := []byte("x\x00\x00\x00\x03abc")
	for n := 1; n < len(whole); n++ {
		if _, _, err := Read(bytes.NewReader(whole[:n]), 3); err != io.ErrUnexpectedEOF {
			t.Errorf("cut to %d: %v", n, err)
		}
	}
}
