package render

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"microagent/plan"
	"microagent/schema"
)

// GraphFormat is a language of graphs.
type GraphFormat string

// The languages: that of Graphviz, and that of mermaid, which forges show in Markdown.
const (
	Dot     GraphFormat = "dot"
	Mermaid GraphFormat = "mermaid"
)

// Graph writes what p does as a directed graph: an edge leads from what is done first to what waits for it.
func Graph(w io.Writer, p *plan.Plan, format GraphFormat) error {
	g := graph{name: p.Project}
	for i := range p.Changes {
		c := &p.Changes[i]
		if c.Does() {
			g.nodes = append(g.nodes, node{c.Address.String(), string(c.Action) + " " + c.Address.String()})
		}
		until := map[plan.Address]string{}
		for _, w := range c.After {
			until[w.Address] = string(w.Until)
		}
		for _, dep := range c.Needs() {
			g.edges = append(g.edges, edge{dep.String(), c.Address.String(), until[dep]})
		}
	}
	return g.write(w, format)
}

// Declared writes what m declares as a directed graph: an edge leads from what is needed first to what needs it, with how
// it is needed.
func Declared(w io.Writer, m *schema.Manifest, format GraphFormat) error {
	g := graph{name: m.Project}
	object := func(kind plan.Kind, name string) string {
		address := plan.Address{Kind: kind, Name: name}.String()
		g.nodes = append(g.nodes, node{address, address})
		return address
	}
	for _, name := range slices.Sorted(maps.Keys(m.Volumes)) {
		object(plan.KindVolume, name)
	}
	made := m.MadeOf()
	for _, name := range slices.Sorted(maps.Keys(m.Bundles)) {
		to := object(plan.KindBundle, name)
		if output := made[name]; output != "" {
			g.edges = append(g.edges, edge{"output/" + output, to, "made of"})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Disks)) {
		object(plan.KindDisk, name)
	}
	for _, name := range slices.Sorted(maps.Keys(m.Workspaces)) {
		g.workspace(object(plan.KindWorkspace, name), m.Workspaces[name])
	}
	for _, name := range slices.Sorted(maps.Keys(m.Outputs)) {
		g.edges = append(g.edges, edge{"workspace/" + m.Outputs[name].From, object(plan.KindOutput, name), ""})
	}
	return g.write(w, format)
}

func (g *graph) workspace(to string, ws schema.Workspace) {
	for _, path := range slices.Sorted(maps.Keys(ws.Mounts)) {
		m := ws.Mounts[path]
		from := plan.Address{Kind: plan.KindVolume, Name: m.Volume}
		switch {
		case m.Bundle != "":
			from = plan.Address{Kind: plan.KindBundle, Name: m.Bundle}
		case m.Disk != "":
			from = plan.Address{Kind: plan.KindDisk, Name: m.Disk}
		}
		g.edges = append(g.edges, edge{from.String(), to, path})
	}
	for _, name := range slices.Sorted(maps.Keys(ws.After)) {
		g.edges = append(g.edges, edge{"workspace/" + name, to, string(ws.After[name].Until)})
	}
}

type node struct{ id, label string }

type edge struct{ from, to, label string }

type graph struct {
	name  string
	nodes []node
	edges []edge
}

func (g *graph) write(w io.Writer, format GraphFormat) error {
	b := bufio.NewWriter(w)
	if format == Mermaid {
		g.mermaid(b)
	} else {
		g.dot(b)
	}
	return b.Flush()
}

func (g *graph) dot(w io.Writer) {
	_, _ = fmt.Fprintf(w, "digraph %s {\n  rankdir=LR;\n  node [shape=box];\n", dot(g.name))
	for _, n := range g.nodes {
		_, _ = fmt.Fprintf(w, "  %s [label=%s];\n", dot(n.id), dot(n.label))
	}
	for _, e := range g.edges {
		label := ""
		if e.label != "" {
			label = " [label=" + dot(e.label) + "]"
		}
		_, _ = fmt.Fprintf(w, "  %s -> %s%s;\n", dot(e.from), dot(e.to), label)
	}
	_, _ = io.WriteString(w, "}\n")
}

func (g *graph) mermaid(w io.Writer) {
	_, _ = io.WriteString(w, "flowchart LR\n")
	ids := map[string]string{}
	for i, n := range g.nodes {
		ids[n.id] = fmt.Sprintf("n%d", i)
		_, _ = fmt.Fprintf(w, "  %s[%s]\n", ids[n.id], mermaid(n.label))
	}
	for _, e := range g.edges {
		arrow := "-->"
		if e.label != "" {
			arrow += "|" + mermaid(e.label) + "|"
		}
		_, _ = fmt.Fprintf(w, "  %s %s %s\n", ids[e.from], arrow, ids[e.to])
	}
}

// dot is s as a quoted string of the dot language, in which only the quote is special; a backslash begins an escape in
// a label.
func dot(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(esc(s)) + `"`
}

// mermaid is s as a quoted text of a flowchart, whose escapes are HTML's with # in the place of &.
func mermaid(s string) string {
	return `"` + strings.NewReplacer("#", "#35;", `"`, "#quot;", "&", "#amp;", "<", "#lt;", ">", "#gt;", "`", "#96;").Replace(esc(s)) + `"`
}
