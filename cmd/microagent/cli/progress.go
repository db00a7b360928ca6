package cli

import (
	"fmt"
	"strings"
	"time"

	"microagent/runtime/driver"
)

// progress shows how far one long call has come, on stderr: as a bar on a terminal, otherwise as a line every few
// seconds. done is called when the call has ended, before anything else is written.
func (a *app) progress(what string) (show driver.Progress, done func()) {
	mode := a.progressMode()
	switch mode {
	case "quiet":
		return nil, func() {}
	case "tty":
		b := newBars(a.stderr)
		b.begin(what)
		return func(step string, done, total int64) { b.update(what, step, done, total) }, b.close
	}
	const every = 5 * time.Second
	last := time.Now()
	return func(step string, done, total int64) {
		if time.Since(last) < every {
			return
		}
		last = time.Now()
		if mode == "json" {
			_ = writeRecord(a.stderr, map[string]any{"type": "progress", "what": what, "step": step, "done": done, "total": total})
			return
		}
		fmt.Fprintln(a.stderr, strings.TrimSpace(what+": "+step+" "+amount(done, total)))
	}, func() {}
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
