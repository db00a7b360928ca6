package term

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"microagent/runtime/event"
	"microagent/schema/printable"
)

// PrintJSON writes one document to stdout.
func (t *Screen) PrintJSON(v any) error {
	enc := json.NewEncoder(printable.JSONWriter(t.Out))
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// PrintLine writes one record of a stream to stdout.
func (t *Screen) PrintLine(v any) error { return writeRecord(t.Out, v) }

func writeRecord(w io.Writer, v any) error {
	enc := json.NewEncoder(printable.JSONWriter(w))
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// Table writes rows under a header: in columns on a terminal, with single spaces in a pipe, where cut and awk
// read it. An empty cell is "-".
func (t *Screen) Table(header []string, rows [][]string) error {
	sep := " "
	out := t.Out
	if IsTerminal(t.Out) {
		w := tabwriter.NewWriter(t.Out, 0, 8, 2, ' ', 0)
		defer w.Flush()
		out, sep = w, "\t"
	}
	for _, row := range append([][]string{header}, rows...) {
		for i, cell := range row {
			if row[i] = printable.Line(cell); cell == "" {
				row[i] = "-"
			}
		}
		if _, err := fmt.Fprintln(out, strings.Join(row, sep)); err != nil {
			return err
		}
	}
	return nil
}

// Size is a number of bytes for people, exact in binary units where it divides.
func Size(n int64) string {
	units := []struct {
		unit  int64
		label string
	}{{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}}
	for _, u := range units {
		if n >= u.unit {
			if n%u.unit == 0 {
				return fmt.Sprintf("%d %s", n/u.unit, u.label)
			}
			return fmt.Sprintf("%.1f %s", float64(n)/float64(u.unit), u.label)
		}
	}
	return fmt.Sprintf("%d B", n)
}

// Say writes a line for people to stderr, unless --progress=quiet or --json; with --progress=json it is a note among the
// events.
func (t *Screen) Say(format string, args ...any) {
	if t.Progress == "quiet" || t.JSON {
		return
	}
	t.saying.Lock()
	defer t.saying.Unlock()
	text := fmt.Sprintf(format, args...)
	if t.Records() {
		_ = writeRecord(t.Err, event.Event{Type: event.TypeNote, Time: time.Now(), Message: text})
		return
	}
	fmt.Fprintln(t.Err, printable.Line(text))
}

// Done writes a line that is the result of a command for people, or v for programs.
func (t *Screen) Done(v any, format string, args ...any) error {
	if t.JSON {
		return t.PrintJSON(v)
	}
	_, err := fmt.Fprintln(t.Out, printable.Line(fmt.Sprintf(format, args...)))
	return err
}

// Said is Done for a command whose result is what it did: stdout is left to the commands that print something to use,
// so that a script of several has their output alone.
func (t *Screen) Said(v any, format string, args ...any) error {
	if t.JSON {
		return t.PrintJSON(v)
	}
	t.Say(format, args...)
	return nil
}
