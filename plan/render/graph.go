package render

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"microagent/plan"
)

// Graph writes what p does as a directed graph in the dot language: an edge leads from what is done first to what
// waits for it.
func Graph(w io.Writer, p *plan.Plan) error {
	b := bufio.NewWriter(w)
	_, _ = fmt.Fprintf(b, "digraph %s {\n  rankdir=LR;\n  node [shape=box];\n", dot(p.Project))
	for i := range p.Changes {
		c := &p.Changes[i]
		if c.Does() {
			_, _ = fmt.Fprintf(b, "  %s [label=%s];\n", dot(c.Address.String()), dot(string(c.Action)+" "+c.Address.String()))
		}
	}
	for i := range p.Changes {
		c := &p.Changes[i]
		for _, w := range c.After {
			if w.Begun() {
				_, _ = fmt.Fprintf(b, "  %s -> %s [label=%s, style=dashed];\n", dot(w.Address.String()), dot(c.Address.String()), dot(string(w.Until)))
			}
		}
		for _, dep := range c.Deps {
			_, _ = fmt.Fprintf(b, "  %s -> %s;\n", dot(dep.String()), dot(c.Address.String()))
		}
	}
	_, _ = b.WriteString("}\n")
	return b.Flush()
}

// dot is s as a quoted string of the dot language, in which only the quote is special; a backslash begins an escape in
// a label.
func dot(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(esc(s)) + `"`
}
