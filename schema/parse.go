package schema

import (
	"bytes"
	"errors"
	"io"
	"strconv"

	"gopkg.in/yaml.v3"

	"microagent/schema/pattern"
)

// tree reads the YAML, one document within the limits. It gives nil when there is nothing to go on with; that has
// been reported then.
func (r *report) tree(data []byte) *node {
	if len(data) > maxBytes {
		r.error(place{1, 1}, "too_large", "the manifest has "+strconv.Itoa(len(data))+" bytes; the most is "+
			strconv.Itoa(maxBytes), "put big contents in files and name them as a bundle")
		return nil
	}
	data = versioned(data)
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) || err == nil && empty(&doc) {
		r.error(place{1, 1}, "empty_file", "the manifest is empty", `begin with "project: NAME"`)
		return nil
	}
	if err != nil {
		r.syntax(data, err)
		return nil
	}
	x := &expander{report: r, open: map[*yaml.Node]bool{}}
	root := x.expand(doc.Content[0], 1)
	if x.stop {
		return nil
	}
	var second yaml.Node
	switch err := dec.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		r.syntax(data, err)
	default:
		r.error(place{second.Line, second.Column}, "second_document",
			"the manifest has a second YAML document", "put everything into one document, without a line of ---")
	}
	return root
}

// version12 is a manifest's beginning up to its directive of YAML 1.2.
var version12 = pattern.Of(`\A\x{FEFF}?(?:[ \t]*(?:#[^\n]*)?\r?\n|%[^\n]*\n)*%YAML[ \t]+1\.2\b`)

// versioned gives the text with the one version that the parser knows by name in the place of 1.2, which it reads alike.
// Every other byte stays where it is.
func versioned(data []byte) []byte {
	at := version12().FindIndex(data)
	if at == nil {
		return data
	}
	data = bytes.Clone(data)
	data[at[1]-1] = '1'
	return data
}

func empty(doc *yaml.Node) bool {
	if len(doc.Content) == 0 {
		return true
	}
	n := doc.Content[0]
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}
