// Package term is how a command speaks: results to stdout, everything else to stderr, as text for people or JSON for
// programs; on a terminal with bars, colours and questions. What a guest, an image or a manifest wrote never acts on a
// terminal: it is shown as escapes. It knows no object and decides nothing but how things look.
package term

import (
	"io"
	"sync"
)

// Screen is a command's own standard streams, with what its flags say of them.
type Screen struct {
	In     io.Reader
	Out    io.Writer
	Err    io.Writer
	Getenv func(string) string

	JSON     bool   // write JSON for programs
	Progress string // auto, tty, plain, json or quiet
	Color    string // auto, always or never
	Verbose  bool

	saying sync.Mutex // one line at a time, whoever says it
}

// Records says that programs read stderr: what a command writes there itself is JSON, a line each. What a guest wrote to
// its own stderr is passed on as it is.
func (t *Screen) Records() bool { return t.JSON || t.Progress == "json" }
