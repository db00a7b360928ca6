package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

const (
	bold   = "1"
	red    = "31"
	green  = "32"
	yellow = "33"
)

// colour says whether stderr and stdout may carry colours: --color, then NO_COLOR and TERM, then terminals.
func (a *app) colour(stream io.Writer) bool {
	switch a.flags.color {
	case "always":
		return true
	case "never":
		return false
	}
	return a.getenv("NO_COLOR") == "" && a.getenv("TERM") != "dumb" && isTerminal(stream)
}

// paint colours text for stderr.
func (a *app) paint(code, text string) string {
	if !a.colour(a.stderr) {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// printable is text of a guest for a terminal: control characters, which could move the cursor or retitle the
// window, are shown as escapes. Newlines and tabs stay.
func printable(s string) string {
	clean := true
	for _, r := range s {
		if unsafeRune(r) {
			clean = false
			break
		}
	}
	if clean && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, "\\x%02x", s[0])
		case unsafeRune(r) && r < 0x100:
			fmt.Fprintf(&b, "\\x%02x", r)
		case unsafeRune(r):
			fmt.Fprintf(&b, "\\u%04x", r)
		default:
			b.WriteRune(r)
		}
		s = s[n:]
	}
	return b.String()
}

// unsafeRune is a control character or one that reorders the text around it.
func unsafeRune(r rune) bool {
	return r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r))
}

// escaper writes guest text to a terminal. It holds back the bytes of a character, or of a line's end, that is not
// whole yet.
type escaper struct {
	w    io.Writer
	rest []byte
}

func (e *escaper) Write(p []byte) (int, error) {
	data := append(e.rest, p...)
	cut := len(data)
	for i := 1; i <= utf8.UTFMax && i <= len(data); i++ {
		if c := data[len(data)-i]; utf8.RuneStart(c) {
			if !utf8.FullRune(data[len(data)-i:]) {
				cut = len(data) - i
			}
			break
		}
	}
	if cut > 0 && data[cut-1] == '\r' {
		cut--
	}
	if _, err := io.WriteString(e.w, printable(strings.ReplaceAll(string(data[:cut]), "\r\n", "\n"))); err != nil {
		return 0, err
	}
	e.rest = append([]byte(nil), data[cut:]...)
	return len(p), nil
}

// end writes what was held back: nothing comes any more that would make it whole.
func (e *escaper) end() {
	_, _ = io.WriteString(e.w, printable(string(e.rest)))
	e.rest = nil
}

// guestText is w for bytes that a guest wrote: escaped on a terminal, raw in a pipe. end is called after the last one.
func guestText(w io.Writer) (safe io.Writer, end func()) {
	if !isTerminal(w) {
		return w, func() {}
	}
	e := &escaper{w: w}
	return e, e.end
}
