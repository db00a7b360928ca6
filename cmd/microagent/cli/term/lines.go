package term

import (
	"bytes"
	"time"
)

// longestLine is how much of a line is held until its end comes; a longer one is given in pieces. In bytes.
const longestLine = 64 << 10

// LogLine is a line that a workspace wrote, raw and without its end.
type LogLine struct {
	Workspace string     `json:"workspace"`
	Time      *time.Time `json:"time,omitempty"` // when it began; nil: its log has no times
	Stream    string     `json:"stream"`
	Line      string     `json:"line"`
}

// Lines cuts what several workspaces write, each to several streams, into lines.
type Lines struct {
	each  func(LogLine) error
	begun map[of]*LogLine // a line whose end has not come; Line is in rest
	rest  map[of][]byte
	order []of
}

type of struct{ workspace, stream string }

// NewLines gives each line to each, once its end has come.
func NewLines(each func(LogLine) error) *Lines {
	return &Lines{each: each, begun: map[of]*LogLine{}, rest: map[of][]byte{}}
}

// Write takes a piece, which came at a time; zero is none.
func (l *Lines) Write(workspace, stream string, at time.Time, data []byte) error {
	key := of{workspace, stream}
	for len(data) > 0 {
		if l.begun[key] == nil {
			line := &LogLine{Workspace: workspace, Stream: stream}
			if !at.IsZero() {
				line.Time = &at
			}
			l.begun[key] = line
			l.order = append(l.order, key)
		}
		text, after, whole := bytes.Cut(data, []byte("\n"))
		if room := longestLine - len(l.rest[key]); len(text) > room {
			text, after, whole = data[:room], data[room:], true
		}
		l.rest[key] = append(l.rest[key], text...)
		data = after
		if whole {
			if err := l.end(key); err != nil {
				return err
			}
		}
	}
	return nil
}

// Flush gives the last lines of a workspace, or of all for "", that have no end.
func (l *Lines) Flush(workspace string) error {
	for _, key := range append([]of(nil), l.order...) {
		if workspace == "" || key.workspace == workspace {
			if err := l.end(key); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *Lines) end(key of) error {
	line := l.begun[key]
	line.Line = string(bytes.TrimSuffix(l.rest[key], []byte("\r")))
	l.rest[key] = l.rest[key][:0]
	delete(l.begun, key)
	for i, k := range l.order {
		if k == key {
			l.order = append(l.order[:i], l.order[i+1:]...)
			break
		}
	}
	return l.each(*line)
}
