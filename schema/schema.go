// Package schema turns the bytes of a manifest into a Manifest that is valid: typed, with defaults, its references
// checked. It reports every problem that it finds in one run, each with its place and what to write instead.
//
// It looks at bytes only. It opens no file, starts nothing, and knows no clock, network or environment; whether the
// files that a manifest names are there is not its business. A manifest is hostile: no input makes it panic, recurse
// without bound or take more than linear time. The packages plan, apply and cmd import it.
package schema

import (
	_ "embed"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"
)

//go:embed schema.cue
var source string

// Source is the CUE text that describes the format.
func Source() string { return source }

// definition compiles the description in a context of its own and gives the definition of a whole manifest. CUE's
// contexts are not safe for concurrent use and keep what they have seen, so each load has its own.
func definition() (*cue.Context, cue.Value, error) {
	ctx := cuecontext.New()
	v := ctx.CompileString(source, cue.Filename("schema.cue"))
	if err := v.Err(); err != nil {
		return nil, cue.Value{}, err
	}
	m := v.LookupPath(cue.MakePath(cue.Def("#Manifest")))
	return ctx, m, m.Err()
}
