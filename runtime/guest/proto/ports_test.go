package proto

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"microagent/runtime/driver"
)

func TestOldAgentIsAskedForNoPort(t *testing.T) {
	s := &Session{hello: Hello{Capabilities: []string{CapExec, CapLog}}} // would break at any use of its connection
	if _, err := s.Dial(t.Context(), Port{Number: 80}); !errors.Is(err, driver.ErrUnsupported) {
		t.Errorf("dial: %v", err)
	}
	if _, err := s.Listening(t.Context(), []Port{{Number: 80}}); !errors.Is(err, driver.ErrUnsupported) {
		t.Errorf("listening: %v", err)
	}
}

// TestHostileListening: a guest can say of the ports that were asked for that they are served or not, and nothing else.
func TestHostileListening(t *testing.T) {
	for said, want := range map[string]error{"D\x00\x00\x00\x01\x02": nil, "D\x00\x00\x00\x01\x01E\x00\x00\x00\x00": io.ErrUnexpectedEOF} {
		l := &Listening{st: &Stream{r: newFrameReader(bytes.NewReader([]byte(said)))}, said: make([]byte, 1)}
		_, err := l.Next()
		if want != nil && err == nil {
			_, err = l.Next()
		}
		if err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%q: %v", said, err)
		}
	}
}

func TestDatagramsAreBounded(t *testing.T) {
	var b bytes.Buffer
	d := NewDatagrams(&b)
	if err := d.Send(make([]byte, MaxDatagram+1)); err == nil || b.Len() > 0 {
		t.Errorf("%v, %d bytes written", err, b.Len())
	}
	for said, want := range map[string]error{"": io.EOF, "\x00": io.ErrUnexpectedEOF, "\x00\x05abc": io.ErrUnexpectedEOF} {
		if _, err := NewDatagrams(bytes.NewBufferString(said)).Receive(make([]byte, 8)); err != want {
			t.Errorf("%q: %v", said, err)
		}
	}
	if _, err := NewDatagrams(bytes.NewBufferString("\xff\xffabc")).Receive(make([]byte, MaxDatagram)); err == nil {
		t.Error("a datagram that UDP can't have")
	}
}
