package logs

import (
	"bytes"
	"io"
)

// tail finds where the last lines of several streams begin that were written in turns. A line is one of its stream,
// whatever another stream wrote in its middle, and it comes where it ends; one without an end comes last.
type tail struct {
	lines   int
	last    []tailLine // the lines that count so far, oldest first; at most twice as many as are asked for
	streams map[string]*tailStream
	order   []string
}

type tailLine struct {
	stream string
	start  int64 // bytes of the stream before it
}

type tailStream struct {
	of    *tail
	name  string
	size  int64
	start int64 // of the line that has no end yet
}

// newTail counts the last lines; see stream.
func newTail(lines int) *tail { return &tail{lines: lines, streams: map[string]*tailStream{}} }

// stream is where the bytes of a stream are to be written to be counted.
func (t *tail) stream(name string) io.Writer {
	s := &tailStream{of: t, name: name}
	t.streams[name] = s
	t.order = append(t.order, name)
	return s
}

func (s *tailStream) Write(p []byte) (int, error) {
	n := len(p)
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			s.size += int64(len(p))
			return n, nil
		}
		s.of.add(tailLine{s.name, s.start})
		s.size += int64(i + 1)
		s.start, p = s.size, p[i+1:]
	}
}

func (t *tail) add(l tailLine) {
	t.last = append(t.last, l)
	if len(t.last) > 2*t.lines+64 {
		t.last = append(t.last[:0], t.last[len(t.last)-t.lines:]...)
	}
}

// skip gives how many bytes of each stream come before its first line that counts.
func (t *tail) skip() map[string]int64 {
	for _, name := range t.order {
		if s := t.streams[name]; s.start < s.size {
			t.add(tailLine{name, s.start})
		}
	}
	skip := map[string]int64{}
	for name, s := range t.streams {
		skip[name] = s.size
	}
	for _, l := range t.last[max(0, len(t.last)-t.lines):] {
		skip[l.stream] = min(skip[l.stream], l.start)
	}
	return skip
}
