package cli

import (
	"io"
	"os"

	"microagent/schema/printable"

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

// guestText is w for bytes that a guest wrote: escaped on a terminal, raw in a pipe. end is called after the last one.
func guestText(w io.Writer) (safe io.Writer, end func()) {
	if !isTerminal(w) {
		return w, func() {}
	}
	e := printable.NewWriter(w)
	return e, func() { _ = e.Close() }
}
