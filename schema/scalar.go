package schema

import (
	"strconv"
	"strings"

	"cuelang.org/go/cue"
)

// scalarValue gives what CUE is to see of a scalar. Where text is accepted a scalar of any other accepted kind is
// text as well, as it is written: mode: 0755 is no number to us.
func (c *conformer) scalarValue(n *node, f *format, at address) (any, bool) {
	if n.kind != scalar {
		return c.reportKind(n, at, "must be "+kindText(f), "write "+f.wanted())
	}
	switch n.tag {
	case "!!null":
		next := "write " + f.wanted() + ", or leave the key out"
		if f.name == "#Text" {
			next = `write "" for an empty text`
		}
		return c.reportKind(n, at, "has no value", next)
	case "!!str":
		if f.text() {
			return n.text, true
		}
		if v, isBool := yaml11Bools[strings.ToLower(n.text)]; isBool && f.kind == cue.BoolKind {
			return c.reportKind(n, at, "must be true or false", "write "+v)
		}
	case "!!bool":
		switch {
		case f.kind == cue.BoolKind:
			return strings.EqualFold(n.text, "true"), true
		case f.kind&cue.BoolKind != 0:
			return n.text, true
		}
	case "!!int":
		switch {
		case f.kind == cue.IntKind:
			if v, err := strconv.ParseInt(strings.ReplaceAll(n.text, "_", ""), 0, 64); err == nil {
				return v, true
			}
			return c.reportKind(n, at, "is out of range", "write "+f.wanted())
		case f.kind&cue.IntKind != 0:
			return n.text, true
		}
	case "!!float":
		if f.kind&cue.FloatKind != 0 {
			return n.text, true
		}
	case "!!timestamp":
		if f.name == "#Text" {
			return n.text, true
		}
	default:
		return c.reportKind(n, at, "has the tag "+quote(n.tag), "leave the tag out")
	}
	if !f.text() {
		return c.reportKind(n, at, "must be "+kindText(f), "write "+f.wanted())
	}
	if f.want != "" && c.holds(f, n.text) != nil {
		return c.reportKind(n, at, "is "+cut(n.text)+why(f, n.text), "write "+f.wantedFor(n.text))
	}
	return c.reportKind(n, at, "must be text, and "+cut(n.text)+" is not", "put it in quotes: "+quote(n.text))
}

// yaml11Bools are the words that YAML 1.1 took for booleans.
var yaml11Bools = map[string]string{
	"yes": "true", "y": "true", "on": "true", "no": "false", "n": "false", "off": "false",
}
