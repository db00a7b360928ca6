package cli

import (
	"fmt"
	"time"

	"microagent/runtime/driver"
)

// progress shows how far one long call has come, on stderr: a line that is written over on a terminal, otherwise
// a line every few seconds.
func (a *app) progress(what string) driver.Progress {
	mode := a.progressMode()
	if mode == "quiet" {
		return nil
	}
	var last time.Time
	every := 5 * time.Second
	if mode == "tty" {
		every = 100 * time.Millisecond
	}
	began := time.Now()
	return func(step string, done, total int64) {
		now := time.Now()
		if now.Sub(began) < every || now.Sub(last) < every {
			return
		}
		last = now
		text := what + ": " + step
		if total > 0 {
			text += fmt.Sprintf(" %s of %s", size(done), size(total))
		} else if done > 0 {
			text += " " + size(done)
		}
		switch mode {
		case "tty":
			fmt.Fprintf(a.stderr, "\r\x1b[K%s\r", printable(text))
		case "json":
			_ = writeRecord(a.stderr, map[string]any{"type": "progress", "what": what, "step": step, "done": done, "total": total})
		default:
			fmt.Fprintln(a.stderr, text)
		}
	}
}

// progressMode is --progress with auto decided.
func (a *app) progressMode() string {
	switch {
	case a.flags.progress != "auto":
		return a.flags.progress
	case a.flags.json:
		return "quiet"
	case isTerminal(a.stderr) && a.getenv("TERM") != "dumb":
		return "tty"
	}
	return "plain"
}
