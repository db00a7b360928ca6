package term

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"microagent/schema/printable"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// bars are the lower lines of a terminal, one for each step that runs: what it is, a bar where the amount is
// known, and the time it has taken. Lines above them stay. Nothing else may write to the terminal until close.
type bars struct {
	area  *mpb.Progress
	mu    sync.Mutex
	steps map[string]*barStep
}

// barStep is one line. Its fields are read by the drawing goroutine.
type barStep struct {
	bar   *mpb.Bar
	began time.Time
	mu    sync.Mutex
	text  string
	done  int64
	total int64 // 0 while unknown
}

// newBars draws on w, which is a terminal or, in tests and with --progress=tty, is taken for one.
func newBars(w io.Writer) *bars {
	return &bars{area: mpb.New(mpb.WithOutput(w), mpb.ForceAutoRefresh()), steps: map[string]*barStep{}}
}

// begin adds the line of a step. Beginning it again changes nothing.
func (b *bars) begin(step string) *barStep {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.steps[step]; s != nil {
		return s
	}
	s := &barStep{began: time.Now()}
	label := printable.Line(step)
	s.bar = b.area.New(0, knownTotal{mpb.BarStyle().Lbound("[").Filler("=").Tip(">").Padding(" ").Rbound("]").Build()},
		mpb.BarWidth(24),
		mpb.PrependDecorators(decor.Any(func(decor.Statistics) string { return s.before(label) })),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return s.after() })),
	)
	b.steps[step] = s
	return s
}

// update tells how far a step has come; total is 0 while unknown.
func (b *bars) update(step, text string, done, total int64) {
	s := b.begin(step)
	s.mu.Lock()
	s.text, s.done, s.total = printable.Line(text), done, total
	s.mu.Unlock()
	s.bar.SetTotal(total, false)
	s.bar.SetCurrent(done)
}

// end takes the line of a step away.
func (b *bars) end(step string) {
	b.mu.Lock()
	s := b.steps[step]
	delete(b.steps, step)
	b.mu.Unlock()
	if s != nil {
		s.bar.Abort(true)
	}
}

// line writes a line that stays, above the others.
func (b *bars) line(text string) { fmt.Fprintln(b.area, printable.Row(text)) }

// close takes all lines away and leaves the cursor below what stays.
func (b *bars) close() {
	b.mu.Lock()
	for _, s := range b.steps {
		s.bar.Abort(true)
	}
	clear(b.steps)
	b.mu.Unlock()
	b.area.Wait()
}

func (s *barStep) before(label string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.text == "" {
		return label + " "
	}
	return label + ": " + s.text + " "
}

func (s *barStep) after() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.TrimSpace(amount(s.done, s.total) + " " + Seconds(time.Since(s.began).Seconds()))
}

// knownTotal draws a bar only once its total is known.
type knownTotal struct{ mpb.BarFiller }

// Build implements mpb.BarFillerBuilder.
func (k knownTotal) Build() mpb.BarFiller { return k }

// Fill implements mpb.BarFiller.
func (k knownTotal) Fill(w io.Writer, stat decor.Statistics) error {
	if stat.Total <= 0 {
		return nil
	}
	return k.BarFiller.Fill(w, stat)
}

// amount is bytes done, of a total when it is known.
func amount(done, total int64) string {
	switch {
	case total > 0:
		return Size(done) + " of " + Size(total)
	case done > 0:
		return Size(done)
	}
	return ""
}
