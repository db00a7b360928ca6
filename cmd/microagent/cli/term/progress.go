package term

import (
	"fmt"
	"strings"
	"time"

	"microagent/runtime/driver"
)

// StartProgress shows how far one long call has come, on stderr: as a bar on a terminal, otherwise as a line every few
// seconds. done is called when the call has ended, before anything else is written.
func (t *Screen) StartProgress(what string) (show driver.Progress, done func()) {
	mode := t.progressMode()
	switch mode {
	case "quiet":
		return nil, func() {}
	case "tty":
		b := newBars(t.Err)
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
			_ = writeRecord(t.Err, map[string]any{"type": "progress", "what": what, "step": step, "done": done, "total": total})
			return
		}
		fmt.Fprintln(t.Err, strings.TrimSpace(what+": "+step+" "+amount(done, total)))
	}, func() {}
}

// progressMode is --progress with auto decided.
func (t *Screen) progressMode() string {
	switch {
	case t.Progress != "auto":
		return t.Progress
	case t.JSON:
		return "quiet"
	case IsTerminal(t.Err) && t.Getenv("TERM") != "dumb":
		return "tty"
	}
	return "plain"
}
