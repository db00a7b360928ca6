package schema

import (
	"slices"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"microagent/schema/spec"
)

// editing puts text into a manifest and changes nothing else of it. A place that is not to be found makes it fail.
type editing struct {
	data   string
	starts []int  // of lines; the last is the length of data
	end    string // of lines
	edits  []edit
	failed bool
}

type edit struct {
	at   int // an offset of data
	text string
}

func newEditing(data []byte) *editing {
	e := &editing{data: string(data), starts: []int{0}, end: "\n"}
	for line := range strings.Lines(e.data) {
		e.starts = append(e.starts, e.starts[len(e.starts)-1]+len(line))
		if strings.HasSuffix(line, "\r\n") {
			e.end = "\r\n"
		}
	}
	return e
}

// apply gives data with all that was put into it.
func (e *editing) apply() []byte {
	slices.SortStableFunc(e.edits, func(a, b edit) int { return a.at - b.at })
	var b strings.Builder
	done := 0
	for _, one := range e.edits {
		b.WriteString(e.data[done:one.at])
		b.WriteString(one.text)
		done = one.at
	}
	b.WriteString(e.data[done:])
	return []byte(b.String())
}

// allow adds rules and peers to what a workspace may reach.
func (e *editing) allow(ws *yaml.Node, rules []spec.Rule, peers []string) {
	var items []string
	for _, r := range rules {
		items = append(items, RuleLine(r))
	}
	network := valueOf(ws, "network")
	if network != nil {
		e.addItems(network, "allow", items)
		e.addItems(network, "peers", peers)
		return
	}
	var keys []string
	if len(items) > 0 {
		keys = append(keys, "allow: ["+strings.Join(items, ", ")+"]")
	}
	if len(peers) > 0 {
		keys = append(keys, "peers: ["+strings.Join(peers, ", ")+"]")
	}
	if isFlow(ws) {
		e.addFlow(ws, "network: {"+strings.Join(keys, ", ")+"}")
		return
	}
	lines := []string{"network:"}
	if len(items) > 0 {
		lines = append(lines, "  allow:")
		for _, item := range items {
			lines = append(lines, "    - "+item)
		}
	}
	if len(peers) > 0 {
		lines = append(lines, "  "+keys[len(keys)-1])
	}
	e.addLines(ws, lines)
}

// addItems adds to a list below a key of a mapping.
func (e *editing) addItems(of *yaml.Node, key string, items []string) {
	if len(items) == 0 {
		return
	}
	list := valueOf(of, key)
	flow := key + ": [" + strings.Join(items, ", ") + "]"
	switch {
	case list != nil && isFlow(list):
		e.addFlow(list, strings.Join(items, ", "))
	case list != nil:
		e.addBlockItems(list, items)
	case isFlow(of):
		e.addFlow(of, flow)
	case key == "allow":
		lines := []string{"allow:"}
		for _, item := range items {
			lines = append(lines, "  - "+item)
		}
		e.addLines(of, lines)
	default:
		e.addLines(of, []string{flow})
	}
}

func isFlow(n *yaml.Node) bool {
	return n != nil && n.Style&yaml.FlowStyle != 0 && (n.Kind == yaml.MappingNode || n.Kind == yaml.SequenceNode)
}

// addLines adds keys at the end of a block mapping.
func (e *editing) addLines(n *yaml.Node, lines []string) {
	if n == nil || n.Kind != yaml.MappingNode || len(n.Content) == 0 {
		e.failed = true
		return
	}
	e.addBelow(n, strings.Repeat(" ", n.Content[0].Column-1), lines)
}

// addBlockItems adds items at the end of a block list.
func (e *editing) addBlockItems(list *yaml.Node, items []string) {
	if list.Kind != yaml.SequenceNode || len(list.Content) == 0 {
		e.failed = true
		return
	}
	first := list.Content[0].Line - 1
	line := e.data[e.starts[first]:e.starts[first+1]]
	dash := strings.TrimLeft(line, " ")
	if !strings.HasPrefix(dash, "- ") {
		e.failed = true
		return
	}
	var lines []string
	for _, item := range items {
		lines = append(lines, "- "+item)
	}
	e.addBelow(list, line[:len(line)-len(dash)], lines)
}

// addBelow adds lines below the last one of n.
func (e *editing) addBelow(n *yaml.Node, indent string, lines []string) {
	at := e.starts[min(e.lastLine(n), len(e.starts)-1)]
	text := ""
	for _, line := range lines {
		text += indent + line + e.end
	}
	if at == len(e.data) && !strings.HasSuffix(e.data, "\n") {
		text = e.end + strings.TrimSuffix(text, e.end)
	}
	e.edits = append(e.edits, edit{at, text})
}

// addFlow adds text at the end of a mapping or list in brackets.
func (e *editing) addFlow(n *yaml.Node, text string) {
	last, _ := e.flowEnd(n)
	if last < 0 {
		e.failed = true
		return
	}
	again := slices.ContainsFunc(e.edits, func(one edit) bool { return one.at == last+1 })
	switch {
	case e.data[last] == ',' && !again:
		text = " " + text
	case len(n.Content) > 0 || again:
		text = ", " + text
	}
	e.edits = append(e.edits, edit{last + 1, text})
}

// flowEnd gives where the last that stands in the brackets of n is, or the bracket that opens them, and where the one that
// closes them is; -1 where that is not to be found.
func (e *editing) flowEnd(n *yaml.Node) (last, end int) {
	start := e.offset(n)
	for start < len(e.data) && e.data[start] != '{' && e.data[start] != '[' {
		start++ // a tag or an anchor stands before it
	}
	depth, token := 0, true // token: something may begin here
	for i := start; i < len(e.data); i++ {
		c := e.data[i]
		switch {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			token = true
			continue
		case c == '#' && token:
			for i+1 < len(e.data) && e.data[i+1] != '\n' {
				i++
			}
			continue
		case token && (c == '"' || c == '\''):
			if i = quoteEnd(e.data, i); i < 0 {
				return -1, -1
			}
			c = 0
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth--; depth == 0 {
				return last, i
			}
		}
		token = strings.ContainsRune("{[,:", rune(c))
		last = i
	}
	return -1, -1
}

// quoteEnd is where the quoted text that begins at i ends, -1 for nowhere.
func quoteEnd(s string, i int) int {
	for j := i + 1; j < len(s); j++ {
		switch {
		case s[j] == '\\' && s[i] == '"':
			j++
		case s[j] == s[i] && s[i] == '\'' && strings.HasPrefix(s[j+1:], "'"):
			j++
		case s[j] == s[i]:
			return j
		}
	}
	return -1
}

// offset is where n begins. Columns count characters.
func (e *editing) offset(n *yaml.Node) int {
	at := e.starts[n.Line-1]
	for range n.Column - 1 {
		_, size := utf8.DecodeRuneInString(e.data[at:])
		at += size
	}
	return at
}

// lastLine is the last line of n that has a value, from 1. A block of text ends where its lines do.
func (e *editing) lastLine(n *yaml.Node) int {
	last := n.Line
	switch {
	case n.Kind == yaml.ScalarNode && n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		last += strings.Count(strings.TrimSuffix(n.Value, "\n"), "\n") + 1
	case isFlow(n):
		if _, end := e.flowEnd(n); end >= 0 {
			last += strings.Count(e.data[e.offset(n):end], "\n")
		}
	}
	for _, sub := range n.Content {
		last = max(last, e.lastLine(sub))
	}
	return last
}
