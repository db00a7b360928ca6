#!/usr/bin/env bash
# One scalar of a YAML file is two values, by the type that it is read into.
#
# What one expects: "user: 01000" is the number 1000, or a text, and the same to every reader of the file. What happens:
# yaml.v3 tags it as an integer whose value is 512 (YAML 1.1's octal), and gives the text "01000" to who reads a string; 0o17
# is 15 and "0o17", 1_000 is 1000 and "1_000". A field that takes a name or a number, as a user does, passes the text on to
# where it is looked up in a passwd file, and a check by type sees another value.
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

	"gopkg.in/yaml.v3"
)

func main() {
	changed := false
	for text, want := range map[string]int{"01000": 512, "0o17": 15, "1_000": 1000, "0x10": 16} {
		var node yaml.Node
		var number struct{ User int }
		var name struct{ User string }
		doc := []byte("user: " + text + "\n")
		for _, to := range []any{&node, &number, &name} {
			if err := yaml.Unmarshal(doc, to); err != nil {
				panic(err)
			}
		}
		tag := node.Content[0].Content[1].Tag
		fmt.Printf("%s: tag %s, as an int %d, as a string %q\n", text, tag, number.User, name.User)
		changed = changed || tag != "!!int" || number.User != want || name.User != text
	}
	if changed {
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1
echo "gopkg.in/yaml.v3 $(go list -m -f '{{.Version}}' gopkg.in/yaml.v3)"
go run .
