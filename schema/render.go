package schema

import (
	"bytes"
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"

	"microagent/schema/diag"
	"microagent/schema/printable"
	"microagent/schema/spec"
)

// Render gives a manifest as it is understood, as YAML: aliases and merge keys are written out, the keys of an object are
// in the format's order, each default that is more than "off" stands where nothing was written, and values are as they
// were written. project, unless it is "", stands in for the manifest's own. Loading what it gives gives the same Manifest,
// but for places. It is nil when the list has errors.
func Render(file string, data []byte, o Options, project string) ([]byte, *diag.List) {
	l := load(file, data, o)
	if l.manifest == nil {
		return nil, l.list
	}
	root := rendered(l.root, l.format)
	if project != "" {
		for i := 0; i < len(root.Content); i += 2 {
			if root.Content[i].Value == "project" {
				root.Content[i+1] = text(project)
			}
		}
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(root); err != nil {
		l.list.Add(diag.Diagnostic{Severity: diag.Error, Code: "internal", Summary: fmt.Sprintf("the manifest can't be written: %v", err),
			Next: "report this: it is a fault of microagent", Pos: diag.Pos{File: file, Line: 1, Col: 1}})
		return nil, l.list
	}
	return escaped(b.Bytes()), l.list
}

// escaped has what is hidden as YAML's escapes: text quotes whatever holds it.
func escaped(data []byte) []byte {
	var b bytes.Buffer
	for _, r := range string(data) {
		switch {
		case r == '\n' || !printable.Hidden(r):
			b.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.Bytes()
}

func rendered(n *node, f *format) *yaml.Node {
	switch n.kind {
	case sequence:
		y := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for _, item := range n.items {
			y.Content = append(y.Content, rendered(item, f.elem))
		}
		return y
	case mapping:
		return renderedMapping(n, f)
	}
	if n.tag == "!!str" {
		return text(n.text)
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: n.tag, Value: n.text}
}

func renderedMapping(n *node, f *format) *yaml.Node {
	y := &yaml.Node{Kind: yaml.MappingNode}
	add := func(key string, value *yaml.Node) { y.Content = append(y.Content, text(key), value) }
	if f.elem != nil {
		for _, e := range n.entries {
			add(e.key, rendered(e.value, f.elem))
		}
		return y
	}
	for _, key := range f.order {
		sub := f.fields[key]
		switch value := n.get(key); {
		case value != nil:
			add(key, rendered(value, sub))
		case !off(sub.fallback) && fits(f, key, n):
			add(key, &yaml.Node{Kind: yaml.ScalarNode, Value: sub.fallback})
		}
	}
	return y
}

// fits says whether a key may stand in an object for its default: how long a probe may take is of one that runs a command.
func fits(f *format, key string, n *node) bool {
	return f.name != "#Ready" || key != "timeout" || n.get(spec.ProbeExec) != nil
}

// off says whether a default is that there is nothing.
func off(fallback string) bool { return fallback == "" || fallback == "false" || fallback == "0s" }

// text is a string, in quotes also where a reader of YAML 1.1 would take it for something else.
func text(s string) *yaml.Node {
	y := &yaml.Node{}
	if err := y.Encode(s); err != nil || y.Tag != "!!str" || strings.ContainsFunc(s, printable.Hidden) {
		*y = yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s, Style: yaml.DoubleQuotedStyle}
	}
	return y
}
