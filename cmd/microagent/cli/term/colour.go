package term

import (
	"io"
	"os"

	"microagent/schema/printable"

	"golang.org/x/term"
)

// IsTerminal says whether a stream is one.
func IsTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Width is how many columns a terminal has, 0 for what is none.
func Width(w io.Writer) int {
	if f, ok := w.(*os.File); ok && IsTerminal(f) {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil {
			return width
		}
	}
	return 0
}

// Colours and weights for Paint.
const (
	Bold   = "1"
	Red    = "31"
	Green  = "32"
	Yellow = "33"
)

// Colour says whether stderr and stdout may carry colours: --color, then NO_COLOR and TERM, then terminals.
func (t *Screen) Colour(stream io.Writer) bool {
	switch t.Color {
	case "always":
		return true
	case "never":
		return false
	}
	return t.Getenv("NO_COLOR") == "" && t.Getenv("TERM") != "dumb" && IsTerminal(stream)
}

// Paint colours text for stderr.
func (t *Screen) Paint(code, text string) string {
	if !t.Colour(t.Err) {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// GuestText is w for bytes that a guest wrote: escaped on a terminal, raw in a pipe. end is called after the last one.
func GuestText(w io.Writer) (safe io.Writer, end func()) {
	if !IsTerminal(w) {
		return w, func() {}
	}
	e := printable.NewWriter(w)
	return e, func() { _ = e.Close() }
}
