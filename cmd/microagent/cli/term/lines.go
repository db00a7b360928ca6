package term

import (
	"bytes"
	"io"
	"strings"
	"sync"
)

// Lines turns streams into one stream of records, a line of text each.
type Lines struct {
	screen  *Screen
	mu      sync.Mutex
	streams []*lineStream
}

// Lines are the records of several streams.
func (t *Screen) Lines() *Lines { return &Lines{screen: t} }

type lineStream struct {
	to   *Lines
	name string
	rest bytes.Buffer
}

type logLine struct {
	Stream string `json:"stream"`
	Line   string `json:"line"`
}

// Stream is where one of them is written.
func (j *Lines) Stream(name string) io.Writer {
	s := &lineStream{to: j, name: name}
	j.streams = append(j.streams, s)
	return s
}

// Flush writes the last lines that have no end.
func (j *Lines) Flush() {
	for _, s := range j.streams {
		if s.rest.Len() > 0 {
			_ = j.screen.PrintLine(logLine{s.name, s.rest.String()})
		}
	}
}

func (s *lineStream) Write(p []byte) (int, error) {
	s.to.mu.Lock()
	defer s.to.mu.Unlock()
	s.rest.Write(p)
	for {
		i := bytes.IndexByte(s.rest.Bytes(), '\n')
		if i < 0 {
			return len(p), nil
		}
		line := strings.TrimSuffix(string(s.rest.Next(i + 1)[:i]), "\r")
		if err := s.to.screen.PrintLine(logLine{s.name, line}); err != nil {
			return 0, err
		}
	}
}
