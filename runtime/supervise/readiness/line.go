package readiness

import (
	"bytes"
	"io"
	"sync"
)

// Line looks for a text within the lines of streams that go through it.
type Line struct {
	text  []byte
	once  sync.Once
	found chan struct{}
}

// NewLine looks for text, which has no newline in it; none is never found.
func NewLine(text string) *Line { return &Line{text: []byte(text), found: make(chan struct{})} }

// Found is closed when a line with the text came.
func (l *Line) Found() <-chan struct{} { return l.found }

// Watch passes a stream on to w and looks at it. Each stream needs its own.
func (l *Line) Watch(w io.Writer) io.Writer {
	if len(l.text) == 0 {
		return w
	}
	return &watched{line: l, w: w}
}

type watched struct {
	line *Line
	w    io.Writer
	tail []byte // the end of what came, shorter than the text
	over bool
}

func (s *watched) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	if !s.over {
		s.look(p)
	}
	return n, err
}

func (s *watched) look(p []byte) {
	text := s.line.text
	both := append(s.tail, p[:min(len(p), len(text)-1)]...)
	if bytes.Contains(both, text) || bytes.Contains(p, text) {
		s.over, s.tail = true, nil
		s.line.once.Do(func() { close(s.line.found) })
		return
	}
	if len(p) >= len(text) {
		both = p
	}
	s.tail = append([]byte(nil), both[max(0, len(both)-len(text)+1):]...)
}
