package apply

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"microagent/plan"
	"microagent/runtime/driver"
	"microagent/runtime/event"
)

const (
	tailLines = 10      // how many lines of each stream go into the error of a process
	tailLine  = 1 << 10 // bytes of one of them
	liveLine  = 4 << 10 // bytes of a line that is shown while a task runs
	// liveBudget bounds what is shown of a task, in bytes: one that writes without end fills no screen and no history.
	liveBudget = 256 << 10
	// drain is how long the rest of what a task wrote is waited for once it has ended.
	drain = 5 * time.Second
)

// Line is a line that a process wrote, without its end, raw.
type Line struct {
	Stream string // "stdout" or "stderr"
	Text   string
}

// lineWriter gives what is written to it a line at a time. A process may write a line as long as it likes: what is kept
// of one has a bound.
type lineWriter struct {
	limit int
	each  func(text string)
	kept  []byte
	more  int // bytes of this line that were not kept
	begun bool
}

func (w *lineWriter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		line, after, whole := bytes.Cut(rest, []byte("\n"))
		room := min(len(line), w.limit-len(w.kept))
		w.kept, w.more, w.begun = append(w.kept, line[:room]...), w.more+len(line)-room, true
		if whole {
			w.flush()
		}
		rest = after
	}
	return len(p), nil
}

// flush ends the line that has no end.
func (w *lineWriter) flush() {
	if !w.begun {
		return
	}
	text := string(bytes.TrimSuffix(w.kept, []byte("\r")))
	if w.more > 0 {
		text = fmt.Sprintf("%s... (%d bytes more)", text, w.more)
	}
	w.kept, w.more, w.begun = w.kept[:0], 0, false
	w.each(text)
}

// read gives the lines of a run's process to each, from one goroutine.
func read(ctx context.Context, runs driver.Runs, name string, limit int, o driver.LogOptions, each func(Line)) error {
	stream := func(of string) *lineWriter {
		return &lineWriter{limit: limit, each: func(text string) { each(Line{of, text}) }}
	}
	stdout, stderr := stream("stdout"), stream("stderr")
	err := runs.Logs(ctx, name, o, stdout, stderr)
	stdout.flush()
	stderr.flush()
	return err
}

// lastWritten gives the last lines that a run's process wrote to both streams, in their order; none when they can't be
// read.
func lastWritten(ctx context.Context, runs driver.Runs, name string) []Line {
	var lines []Line
	count := map[string]int{}
	_ = read(ctx, runs, name, tailLine, driver.LogOptions{Tail: new(tailLines)}, func(l Line) {
		if l.Text == "" {
			return
		}
		lines = append(lines, l)
		if count[l.Stream]++; count[l.Stream] > tailLines {
			lines, count[l.Stream] = withoutFirst(lines, l.Stream), tailLines
		}
	})
	return lines
}

func withoutFirst(lines []Line, stream string) []Line {
	for i, l := range lines {
		if l.Stream == stream {
			return append(lines[:i], lines[i+1:]...)
		}
	}
	return lines
}

// show tells what the process of c writes, as it does so; of one that runs already, the last lines first. end waits for
// the rest once the process has ended.
func (r *run) show(ctx context.Context, c *plan.Change) (end func()) {
	o := driver.LogOptions{Follow: true}
	if c.Action == plan.ActionWait {
		o.Tail = new(tailLines)
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		// What can't be read now is in the log: showing it decides nothing.
		shown := 0
		_ = read(ctx, r.drivers.Runs, c.Workspace.Name, liveLine, o, func(l Line) {
			if shown > liveBudget {
				return
			}
			if shown += len(l.Text) + 1; shown > liveBudget {
				r.events.Emit(event.Event{Type: event.TypeNote, Time: time.Now(), Address: c.Address.String(),
					Message: "it writes more than is shown here: microagent logs -f " + c.Workspace.Name})
				cancel()
				return
			}
			r.events.Emit(event.Event{Type: event.TypeOutput, Time: time.Now(), Address: c.Address.String(), Stream: l.Stream, Line: &l.Text})
		})
	}()
	return func() {
		defer cancel()
		late := time.AfterFunc(drain, cancel)
		defer late.Stop()
		<-done
	}
}
