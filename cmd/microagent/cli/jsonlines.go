package cli

import (
	"bytes"
	"io"
	"strings"
	"sync"
)

// jsonLines turns streams into one stream of records, a line of text each.
type jsonLines struct {
	a       *app
	mu      sync.Mutex
	streams []*jsonStream
}

type jsonStream struct {
	to   *jsonLines
	name string
	rest bytes.Buffer
}

type logLine struct {
	Stream string `json:"stream"`
	Line   string `json:"line"`
}

func (j *jsonLines) stream(name string) io.Writer {
	s := &jsonStream{to: j, name: name}
	j.streams = append(j.streams, s)
	return s
}

// flush writes the last lines that have no end.
func (j *jsonLines) flush() {
	for _, s := range j.streams {
		if s.rest.Len() > 0 {
			_ = j.a.printLine(logLine{s.name, s.rest.String()})
		}
	}
}

func (s *jsonStream) Write(p []byte) (int, error) {
	s.to.mu.Lock()
	defer s.to.mu.Unlock()
	s.rest.Write(p)
	for {
		i := bytes.IndexByte(s.rest.Bytes(), '\n')
		if i < 0 {
			return len(p), nil
		}
		line := strings.TrimSuffix(string(s.rest.Next(i + 1)[:i]), "\r")
		if err := s.to.a.printLine(logLine{s.name, line}); err != nil {
			return 0, err
		}
	}
}
