#!/usr/bin/env bash
# A text that is written as YAML is read back as an instruction to merge.
#
# What one expects: a map of strings that yaml.Marshal writes means the same when yaml.Unmarshal reads it, and a node that
# Node.Encode makes of a string is a string. What happens: the key "<<" is written without quotes, and reading that fails
# ("map merge requires map or sequence of maps as the value"); as a value it survives in a map, but Node.Encode gives it the
# tag !!merge, and a document made of such nodes says "a: !!merge <<". A program that writes a user's keys and values, as one
# that prints a manifest does, has to look at the tag and set the style to quoted itself.
#
# Seen with gopkg.in/yaml.v3 v3.0.1. It needs Go and bash.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.25.0

require gopkg.in/yaml.v3 v3.0.1
MOD
cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"
	"strings"

	"gopkg.in/yaml.v3"
)

func main() {
	text, err := yaml.Marshal(map[string]string{"<<": "x"})
	if err != nil {
		panic(err)
	}
	var back map[string]string
	reading := yaml.Unmarshal(text, &back)
	fmt.Printf("a map with the key << is written as %q and read back as: %v, %v\n", text, back, reading)

	var node yaml.Node
	if err := node.Encode("<<"); err != nil {
		panic(err)
	}
	doc, err := yaml.Marshal(map[string]*yaml.Node{"a": &node})
	if err != nil {
		panic(err)
	}
	fmt.Printf("the string << is a node with tag %s, written as %q\n", node.Tag, doc)

	node.Tag, node.Style = "!!str", yaml.DoubleQuotedStyle
	quoted, err := yaml.Marshal(map[string]*yaml.Node{"a": &node})
	if err != nil {
		panic(err)
	}
	var right map[string]string
	fmt.Printf("in quotes: %q, %v, %v\n", quoted, yaml.Unmarshal(quoted, &right), right)

	if string(text) != "<<: x\n" || reading == nil || !strings.Contains(reading.Error(), "map merge requires") ||
		node.Tag != "!!str" || string(doc) != "a: !!merge <<\n" || right["a"] != "<<" {
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1
echo "gopkg.in/yaml.v3 $(go list -m -f '{{.Version}}' gopkg.in/yaml.v3)"
go run .
