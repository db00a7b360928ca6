package diag

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"microagent/schema/printable"
)

// Shown is how many diagnostics a person is shown.
const Shown = 50

// WriteText writes the list for people: each with its place, the source line with a caret below, and what to write
// instead. After most of them it says how many more there are; most 0 or less means Shown.
func (l *List) WriteText(w io.Writer, most int) error {
	if most <= 0 {
		most = Shown
	}
	b := bufio.NewWriter(w)
	all := l.All()
	for i := range all {
		if i == most {
			_, _ = fmt.Fprintf(b, "and %d more\n", len(all)-most)
			break
		}
		_, _ = b.WriteString(all[i].Text())
	}
	return b.Flush()
}

// WriteJSON writes each diagnostic of the list, all of them, as one line of JSON. It decodes to the texts as they
// are, and holds nothing that a terminal would act on.
func (l *List) WriteJSON(w io.Writer) error {
	b := bufio.NewWriter(w)
	for _, d := range l.All() {
		line, err := json.Marshal(d)
		if err != nil {
			return fmt.Errorf("write diagnostics: %w", err)
		}
		_, _ = b.WriteString(printable.JSON(string(line)) + "\n")
	}
	return b.Flush()
}

// Text gives the diagnostic as lines for people, escaped.
func (d *Diagnostic) Text() string {
	var b strings.Builder
	if p := d.Pos.String(); p != "" {
		b.WriteString(printable.Line(p) + ": ")
	}
	b.WriteString(string(d.Severity) + ": " + printable.Line(d.Summary) + "\n")
	if d.Snippet != "" {
		before, _ := splitAt(d.Snippet, d.SnippetCol-1)
		b.WriteString("  | " + printable.Line(d.Snippet) + "\n")
		b.WriteString("  | " + strings.Repeat(" ", width(printable.Line(before))) + "^\n")
	}
	if d.Detail != "" {
		b.WriteString("  " + printable.Line(d.Detail) + "\n")
	}
	if d.Next != "" {
		b.WriteString("  -> " + printable.Line(d.Next) + "\n")
	}
	return b.String()
}

// splitAt cuts s after n characters.
func splitAt(s string, n int) (string, string) {
	i := 0
	for ; n > 0 && i < len(s); n-- {
		_, size := utf8.DecodeRuneInString(s[i:])
		i += size
	}
	return s[:i], s[i:]
}
