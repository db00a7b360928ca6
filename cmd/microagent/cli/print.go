package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"microagent/schema/printable"
)

// printJSON writes one document to stdout.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(printable.JSONWriter(a.stdout))
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// printLine writes one record of a stream to stdout.
func (a *app) printLine(v any) error { return writeRecord(a.stdout, v) }

func writeRecord(w io.Writer, v any) error {
	enc := json.NewEncoder(printable.JSONWriter(w))
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// table writes rows under a header: in columns on a terminal, with single spaces in a pipe, where cut and awk
// read it. An empty cell is "-".
func (a *app) table(header []string, rows [][]string) error {
	sep := " "
	out := a.stdout
	if isTerminal(a.stdout) {
		w := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
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

// size is a number of bytes for people, exact in binary units where it divides.
func size(n int64) string {
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

// say writes a line for people to stderr, unless --progress=quiet or --json.
func (a *app) say(format string, args ...any) {
	if a.flags.progress == "quiet" || a.flags.json {
		return
	}
	fmt.Fprintln(a.stderr, printable.Line(fmt.Sprintf(format, args...)))
}

// done writes a line that is the result of a command for people, or v for programs.
func (a *app) done(v any, format string, args ...any) error {
	if a.flags.json {
		return a.printJSON(v)
	}
	_, err := fmt.Fprintln(a.stdout, printable.Line(fmt.Sprintf(format, args...)))
	return err
}

// said is done for a command whose result is what it did: stdout is left to the commands that print something to use,
// so that a script of several has their output alone.
func (a *app) said(v any, format string, args ...any) error {
	if a.flags.json {
		return a.printJSON(v)
	}
	a.say(format, args...)
	return nil
}
