package serialmux

import (
	"bytes"
	"io"
	"slices"
	"testing"
	"unsafe"
)

// writes remembers what was written at once.
type writes struct {
	io.ReadWriteCloser
	all       []string
	unaligned bool // a body that was copied behind its header
}

func (w *writes) Write(p []byte) (int, error) {
	w.all = append(w.all, string(p))
	if len(p) > frameHeader && len(p) <= portWrite {
		w.unaligned = w.unaligned || uintptr(unsafe.Pointer(&p[frameHeader]))%8 != 0
	}
	return len(p), nil
}

func TestHeaderGoesWithItsBody(t *testing.T) {
	header := func(kind byte, size ...byte) string {
		h := make([]byte, frameHeader-4, frameHeader)
		h[1] = kind
		return string(append(h, size...))
	}
	small, window, empty := header(frameData, 0, 0, 0, 3), header(1, 0, 0, 0, 3), header(frameData, 0, 0, 0, 0)
	large, body := header(frameData, 0, 1, 0, 1), string(bytes.Repeat([]byte{0}, maxWhole+1))
	two, twice := header(frameData, 0, 0, 0x80, 0), string(bytes.Repeat([]byte{1}, portWrite))
	twelve := header(frameData, 0, 0, 0, frameHeader)
	var got writes
	w := &wholeFrames{ReadWriteCloser: &got}
	// A body may look like a header.
	for _, p := range []string{small, "abc", window, empty, large, body, two, twice, twelve, small, small, "def"} {
		if n, err := io.WriteString(w, p); n != len(p) || err != nil {
			t.Fatal(n, err)
		}
	}
	if got.unaligned {
		t.Error("a body is not aligned")
	}
	if want := []string{small + "abc", window, empty, large, body, two + twice[frameHeader:], twice[:frameHeader], twelve + small, small + "def"}; !slices.Equal(got.all, want) {
		t.Errorf("%q, not %q", got.all, want)
	}
}
