package supervise

import (
	"bytes"
	"log/slog"

	"microagent/schema/printable"
)

// logLines makes a line of the log of each line that a process prints.
type logLines struct {
	log *slog.Logger
	who string
}

func (l logLines) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		l.log.Warn(l.who, "said", printable.Line(string(bytes.TrimSpace(line))))
	}
	return len(p), nil
}
