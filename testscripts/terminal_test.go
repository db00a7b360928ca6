package testscripts

import (
	"io"
	"strings"
	"syscall"
	"testing"
)

// hasty is the master of a terminal as Linux has it on a busy host: it says that everybody is gone before it gives the last
// that they wrote.
type hasty struct{ left []string } // "" is EIO

func (h *hasty) Read(p []byte) (int, error) {
	if len(h.left) == 0 {
		return 0, io.ErrUnexpectedEOF // read on after the end
	}
	text := h.left[0]
	if h.left = h.left[1:]; text == "" {
		return 0, syscall.EIO
	}
	return copy(p, text), nil
}

func TestTerminalIsReadToItsEnd(t *testing.T) {
	for _, left := range [][]string{{"a", "b", "", ""}, {"a", "", "b", "", ""}, {"", "ab", "", ""}} {
		master, output := &hasty{left}, make(chan []byte, 10)
		readTerminal(master, output)
		close(output)
		var got strings.Builder
		for b := range output {
			got.Write(b)
		}
		if got.String() != "ab" || len(master.left) != 0 {
			t.Errorf("of %q it read %q, and left %q", left, got.String(), master.left)
		}
	}
}
