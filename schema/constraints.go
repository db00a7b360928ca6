package schema

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/errors"

	"microagent/schema/printable"
	"microagent/schema/quantity"
)

// constraints has CUE check values against the description.
type constraints struct {
	ctx *cue.Context
}

// check has CUE check one object. When CUE finds fault each value in it is checked by itself, so that every problem
// has its exact place and none hides another; what no single value explains is reported where CUE's path leads.
func (c *constraints) check(r *report, n *node, value any, f *format, at address) {
	whole := f.value.Unify(c.ctx.Encode(value))
	if whole.Validate() == nil || c.leaves(r, n, f, at) {
		return
	}
	for _, e := range errors.Errors(whole.Validate(cue.All())) {
		where, found := locate(n, e.Path())
		format, args := e.Msg()
		r.error(where.at, "bad_value", at.with(strings.Join(found, ".")).String()+" is not valid: "+
			printable.Line(fmt.Sprintf(format, args...)), "")
	}
}

// leaves checks every scalar below n and says whether it reported one.
func (c *constraints) leaves(r *report, n *node, f *format, at address) bool {
	if n.bad {
		return false
	}
	found := false
	switch n.kind {
	case mapping:
		for i := range n.entries {
			e := &n.entries[i]
			sub := f.elem
			if f.key == nil {
				sub = f.fields[e.key]
			}
			if !e.bad && sub != nil && c.leaves(r, e.value, sub, at.with(e.key)) {
				found = true
			}
		}
	case sequence:
		for i, item := range n.items {
			if c.leaves(r, item, f.elem, at.with(strconv.Itoa(n.first+i))) {
				found = true
			}
		}
	default:
		var value any = n.text
		if !f.text() {
			v, err := strconv.ParseInt(strings.ReplaceAll(n.text, "_", ""), 0, 64)
			if err != nil {
				return false // a bool has no constraint
			}
			value = v
		}
		if c.holds(f, value) != nil {
			n.bad = true
			if key := at[len(at)-1]; f.name == "#Name" && strings.ContainsAny(n.text, "/~") && len(at) == 5 && at[2] == "mounts" {
				r.error(n.at, "host_directory", at.String()+" is "+quote(n.text)+", and a host directory is no "+key,
					hostDirectory)
				return true
			}
			value := quote(n.text)
			if at.ofEnv() {
				value = "text that no variable can hold"
			}
			r.error(n.at, "bad_value", at.String()+" is "+value+why(f, n.text), "write "+f.wantedFor(n.text))
			return true
		}
	}
	return found
}

// holds gives nil when a scalar is what the format accepts.
func (c *constraints) holds(f *format, value any) error {
	return f.value.Unify(c.ctx.Encode(value)).Validate()
}

// why says what a quantity's own parser finds wrong.
func why(f *format, text string) string {
	var err error
	switch f.name {
	case "#Size":
		_, err = quantity.ParseSize(text)
	case "#Duration":
		_, err = quantity.ParseDuration(text)
	case "#Mode":
		_, err = quantity.ParseMode(text)
	case "#Name":
		_, err = quantity.ParseName(text)
	}
	var p *quantity.ParseError
	if errors.As(err, &p) {
		return ", which " + p.Why
	}
	return ""
}

// locate follows a path of CUE as far as the manifest has it.
func locate(n *node, path []string) (*node, []string) {
	if i := slices.IndexFunc(path, func(s string) bool { return !strings.HasPrefix(s, "#") }); i > 0 {
		path = path[i:]
	}
	for i, key := range path {
		if text, err := strconv.Unquote(key); err == nil {
			key = text
		}
		next := n.get(key)
		if next == nil {
			if k, err := strconv.Atoi(key); err == nil && k < len(n.items) {
				next = n.items[k]
			}
		}
		if next == nil {
			return n, path[:i]
		}
		n = next
	}
	return n, path
}
