#!/usr/bin/env bash
# The JSON Schema that CUE makes of a definition takes what the definition refuses, and refuses what it takes.
#
# What one expects: an editor that checks by the exported schema agrees with CUE, or the export fails where it can't say
# something. What happens: jsonschema.Generate gives, without an error, a schema that is open to misspelt keys where an
# embedded disjunction makes a struct one of two kinds; that takes no document with a key where another definition is
# embedded, since each half refuses the other's keys; that has lost the bounds of a number with a default; and that refuses
# the field which a condition adds. A format that is described in CUE once and checked in editors too has to be written
# without all four, and a test has to hold the one against the other.
#
# Seen with cuelang.org/go v0.17.1 and github.com/santhosh-tekuri/jsonschema/v6 v6.0.2. It needs Go and bash.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.26.0

require (
	cuelang.org/go v0.17.1
	github.com/santhosh-tekuri/jsonschema/v6 v6.0.2
)
MOD
cat >main.go <<'GO'
package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"
	cuejson "cuelang.org/go/encoding/jsonschema"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// both say whether the definition #M takes a document, and whether the schema that is made of it does.
func both(source, doc string) (byCUE, bySchema bool) {
	ctx := cuecontext.New()
	definition := ctx.CompileString(source).LookupPath(cue.ParsePath("#M"))
	text := must(ctx.BuildExpr(must(cuejson.Generate(definition, nil))).MarshalJSON())
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", must(jsonschema.UnmarshalJSON(bytes.NewReader(text)))); err != nil {
		panic(err)
	}
	byCUE = definition.Unify(ctx.CompileString(doc)).Validate(cue.Concrete(true)) == nil
	bySchema = must(c.Compile("schema.json")).Validate(must(jsonschema.UnmarshalJSON(strings.NewReader(doc)))) == nil
	return byCUE, bySchema
}

func main() {
	changed := false
	for _, row := range []struct {
		source, doc     string
		byCUE, bySchema bool
	}{
		{`#M: {name: string, {task: string} | {service: string}}`, `{"name": "a", "task": "b"}`, true, true},
		{`#M: {name: string, {task: string} | {service: string}}`, `{"name": "a", "task": "b", "misspelt": 1}`, false, true},
		{`#Base: {cpus?: int}, #M: {#Base, name?: string}`, `{}`, true, true},
		{`#Base: {cpus?: int}, #M: {#Base, name?: string}`, `{"name": "a"}`, true, false},
		{`#Base: {cpus?: int}, #M: {#Base, name?: string}`, `{"cpus": 1}`, true, false},
		{`#M: {cpus?: int & >=1 & <=64}`, `{"cpus": 65}`, false, false},
		{`#M: {cpus: *1 | int & >=1 & <=64}`, `{"cpus": 65}`, false, true},
		{`#M: {port?: int, if port != _|_ {host!: string}}`, `{"port": 1, "host": "a"}`, true, false},
	} {
		byCUE, bySchema := both(row.source, row.doc)
		fmt.Printf("%s\n\t%s: CUE takes it %v, its schema %v\n", row.source, row.doc, byCUE, bySchema)
		changed = changed || byCUE != row.byCUE || bySchema != row.bySchema
	}
	if changed {
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1
echo "cuelang.org/go $(go list -m -f '{{.Version}}' cuelang.org/go), jsonschema $(go list -m -f '{{.Version}}' github.com/santhosh-tekuri/jsonschema/v6)"
go run .
