package agent

import (
	"fmt"
	"io"
	"strings"
	"sync"
)

// logKept bounds what a Log remembers, in bytes.
const logKept = 64 << 10

// Log is what the guest's init and agent have to say: short lines on the console, and kept for the host.
type Log struct {
	console io.Writer
	mu      sync.Mutex
	kept    []byte
	dropped int64
	more    chan struct{} // closed at the next line
}

// NewLog writes to console as well.
func NewLog(console io.Writer) *Log { return &Log{console: console, more: make(chan struct{})} }

// Printf logs lines, each with the prefix that tells them from the kernel's.
func (l *Log) Printf(format string, args ...any) {
	text := strings.TrimRight(fmt.Sprintf(format, args...), "\n")
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("microagent-init: " + strings.TrimRight(line, "\n") + "\n")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = io.WriteString(l.console, b.String())
	l.kept = append(l.kept, b.String()...)
	if over := len(l.kept) - logKept; over > 0 {
		l.kept = append(l.kept[:0], l.kept[over:]...)
		l.dropped += int64(over)
	}
	close(l.more)
	l.more = make(chan struct{})
}

// after gives what was logged from position on, the position after it, and what is closed when there is more.
func (l *Log) after(position int64) ([]byte, int64, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	from := max(position-l.dropped, 0)
	data := append([]byte(nil), l.kept[from:]...)
	return data, l.dropped + int64(len(l.kept)), l.more
}
