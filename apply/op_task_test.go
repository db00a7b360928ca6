package apply

import (
	"bytes"
	"context"
	"io"
	"testing"

	"microagent/runtime/driver"
)

// endlessLine is a workspace whose process wrote one line of 32 MiB to stderr.
type endlessLine struct{ driver.Runs }

func (endlessLine) Logs(_ context.Context, _ string, _ driver.LogOptions, _, stderr io.Writer) error {
	piece := bytes.Repeat([]byte{0}, 1<<20)
	for range 32 {
		if _, err := stderr.Write(piece); err != nil {
			return err
		}
	}
	_, err := io.WriteString(stderr, "\nthe end\n")
	return err
}

func TestLastLinesHaveABound(t *testing.T) {
	r := &run{}
	r.drivers.Runs = endlessLine{}
	lines := lastWritten(t.Context(), r.drivers.Runs, "job")
	if len(lines) != 2 || lines[1] != (Line{"stderr", "the end"}) || len(lines[0].Text) > 2*tailLine {
		t.Errorf("%d lines, the first of %d bytes", len(lines), len(lines[0].Text))
	}
}
