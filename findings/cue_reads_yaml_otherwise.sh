#!/usr/bin/env bash
# CUE and yaml.v3 read one YAML file as different values.
#
# What one expects: a file that CUE's encoding/yaml has checked against a schema holds what yaml.v3 reads from it afterwards.
# What happens: a date is a text to CUE and a time.Time to yaml.v3; 08 is the text "08" to the one and the number 8 to the
# other; what !!binary packs is bytes in base64 or the text itself; 1_ and 0_1 are errors of the one and numbers of the other.
# And an integer of 20 digits or a number with the tag !!float is extracted by CUE without an error, into a file whose value
# can't be made JSON. Who checks by the one and decodes by the other has checked something else.
#
# Seen with cuelang.org/go v0.17.1 and gopkg.in/yaml.v3 v3.0.1. It needs Go and bash.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.26.0

require (
	cuelang.org/go v0.17.1
	gopkg.in/yaml.v3 v3.0.1
)
MOD
cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"

	"cuelang.org/go/cue/cuecontext"
	cueyaml "cuelang.org/go/encoding/yaml"
	"gopkg.in/yaml.v3"
)

// byYAML is the type and the value that yaml.v3 reads.
func byYAML(doc []byte) string {
	var m map[string]any
	if err := yaml.Unmarshal(doc, &m); err != nil {
		return "error"
	}
	return fmt.Sprintf("%T %v", m["k"], m["k"])
}

// byCUE is the JSON of what CUE reads.
func byCUE(doc []byte) string {
	file, err := cueyaml.Extract("x.yaml", doc)
	if err != nil {
		return "error"
	}
	text, err := cuecontext.New().BuildFile(file).MarshalJSON()
	if err != nil {
		return "no JSON"
	}
	return string(text)
}

func main() {
	changed := false
	for _, row := range []struct{ text, yaml, cue string }{
		{"2026-11-28", "time.Time 2026-11-28 00:00:00 +0000 UTC", `{"k":"2026-11-28"}`},
		{"08", "float64 8", `{"k":"08"}`},
		{"!!binary aGk=", "string hi", `{"k":"aGk="}`},
		{"1_", "int 1", "error"},
		{"0_1", "int 1", "error"},
		{"99999999999999999999", "float64 1e+20", "no JSON"},
		{"!!float 5", "float64 5", "no JSON"},
		{"010", "int 8", `{"k":8}`},
	} {
		doc := []byte("k: " + row.text + "\n")
		y, c := byYAML(doc), byCUE(doc)
		fmt.Printf("%s: yaml.v3 %s, CUE %s\n", row.text, y, c)
		changed = changed || y != row.yaml || c != row.cue
	}
	if changed {
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1
echo "cuelang.org/go $(go list -m -f '{{.Version}}' cuelang.org/go), gopkg.in/yaml.v3 $(go list -m -f '{{.Version}}' gopkg.in/yaml.v3)"
go run .
