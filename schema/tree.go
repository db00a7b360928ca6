package schema

import (
	"strconv"

	"gopkg.in/yaml.v3"
)

// The limits of a manifest. Each is some ten times what a large one needs.
const (
	maxBytes = 16 << 20
	maxNodes = 500_000 // after aliases are expanded
	maxDepth = 200
)

type kind int

const (
	scalar kind = iota
	mapping
	sequence
)

// place is a line and a column of the manifest, both from 1.
type place struct{ line, col int }

// node is one value of the manifest, with aliases and merge keys expanded. It is the index of positions as well.
type node struct {
	kind    kind
	tag     string // "!!str", "!!int", ... or the tag as written
	text    string // of a scalar, as written
	at      place
	entries []entry // of a mapping, in the order of the file
	items   []*node
	first   int // the index of items[0], when the node is a portion of a long list
	// bad says that a problem of this value was reported, or that it was a problem to whoever holds it: what
	// comes later leaves it alone.
	bad bool
}

type entry struct {
	key   string
	at    place
	value *node
	bad   bool // the key is not one that belongs here
}

// get gives the value of a key, nil when the node is no mapping or has no such key.
func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	for i := range n.entries {
		if n.entries[i].key == key {
			return n.entries[i].value
		}
	}
	return nil
}

func (n *node) null() bool { return n.kind == scalar && n.tag == "!!null" }

// expander turns YAML's nodes into ours. Aliases are counted as they are expanded, so what it makes is never larger
// than maxNodes or deeper than maxDepth, whatever the manifest says.
type expander struct {
	*report
	nodes int
	open  map[*yaml.Node]bool // anchored nodes that are being expanded
	stop  bool
}

// expand gives nil when the node can't be used; that has been reported then.
func (x *expander) expand(y *yaml.Node, depth int) *node {
	at := place{y.Line, y.Column}
	if x.nodes++; x.nodes > maxNodes {
		return x.refuse(at, "too_many_values", "the manifest has more than "+strconv.Itoa(maxNodes)+
			" values when its aliases are expanded", "use fewer aliases, or split the manifest")
	}
	if depth > maxDepth {
		return x.refuse(at, "too_deep", "the manifest is nested deeper than "+strconv.Itoa(maxDepth)+" levels", "")
	}
	if x.open[y] {
		return x.refuse(at, "alias_cycle", "anchor &"+cut(y.Anchor)+" contains itself",
			"write out what the alias stands for")
	}
	if y.Anchor != "" {
		x.open[y] = true
		defer delete(x.open, y)
	}
	switch y.Kind {
	case yaml.AliasNode:
		if x.open[y.Alias] {
			return x.refuse(at, "alias_cycle", "alias *"+cut(y.Value)+" is inside the anchor that it refers to",
				"write out what the alias stands for")
		}
		return x.expand(y.Alias, depth)
	case yaml.ScalarNode:
		return &node{kind: scalar, tag: y.ShortTag(), text: y.Value, at: at}
	case yaml.SequenceNode:
		n := &node{kind: sequence, tag: y.ShortTag(), at: at}
		for _, item := range y.Content {
			sub := x.expand(item, depth+1)
			if x.stop {
				return nil
			}
			n.items = append(n.items, sub)
		}
		return n
	case yaml.MappingNode:
		return x.expandMapping(y, depth)
	}
	return x.refuse(at, "syntax", "the manifest has a value that can't be read here", "")
}

// refuse reports what ends the reading of the whole manifest.
func (x *expander) refuse(at place, code, summary, next string) *node {
	if !x.stop {
		x.error(at, code, summary, next)
	}
	x.stop = true
	return nil
}

func (x *expander) expandMapping(y *yaml.Node, depth int) *node {
	n := &node{kind: mapping, tag: y.ShortTag(), at: place{y.Line, y.Column}}
	seen := map[string]place{}
	var merges []*yaml.Node
	for i := 0; i+1 < len(y.Content); i += 2 {
		k, v := y.Content[i], y.Content[i+1]
		at := place{k.Line, k.Column}
		if k.Kind == yaml.AliasNode {
			k = k.Alias
		}
		if k.Kind == yaml.ScalarNode && k.ShortTag() == "!!merge" {
			merges = append(merges, v)
			continue
		}
		value := x.expand(v, depth+1)
		if x.stop {
			return nil
		}
		if k.Kind != yaml.ScalarNode || k.ShortTag() == "!!null" {
			x.error(at, "wrong_type", "a key must be text", "write the key as a word")
			continue
		}
		if first, twice := seen[k.Value]; twice {
			x.error(at, "duplicate_key", "key "+quote(k.Value)+" is there twice, first in line "+
				strconv.Itoa(first.line), "remove one of the two")
			continue
		}
		seen[k.Value] = at
		n.entries = append(n.entries, entry{key: k.Value, at: at, value: value})
	}
	for _, m := range merges {
		if !x.merge(n, seen, m, depth) {
			return nil
		}
	}
	return n
}

// merge adds the keys that n does not have yet from a merged mapping, or from a list of them.
func (x *expander) merge(n *node, seen map[string]place, y *yaml.Node, depth int) bool {
	from := x.expand(y, depth+1)
	if x.stop {
		return false
	}
	sources := []*node{from}
	if from.kind == sequence {
		sources = from.items
	}
	for _, s := range sources {
		if s.kind != mapping {
			x.error(place{y.Line, y.Column}, "wrong_type", "<< merges mappings only",
				"write an alias of a mapping, such as *defaults")
			continue
		}
		for _, e := range s.entries {
			if _, there := seen[e.key]; !there {
				seen[e.key] = e.at
				n.entries = append(n.entries, e)
			}
		}
	}
	return true
}
