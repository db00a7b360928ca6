package schema

import (
	"strconv"

	"cuelang.org/go/cue"
)

// conformer compares the manifest with the format: kinds, unknown and missing keys, nulls. What it can't use it
// reports, marks bad and leaves out, so that one mistake hides no other. What remains is checked by CUE, one object
// at a time.
type conformer struct {
	*report
	*constraints
}

// checkManifest checks the whole tree.
func (c *conformer) checkManifest(n *node, f *format) {
	if !c.requireStruct(n, f, nil) {
		return
	}
	c.checkKeys(n, f, nil)
	for i := range n.entries {
		e := &n.entries[i]
		sub := f.fields[e.key]
		switch {
		case e.bad:
		case sub.kind == cue.StructKind && sub.elem != nil:
			c.checkSection(e, sub)
		default:
			c.checkObject(e, sub, address{e.key})
		}
	}
	c.reportMissing(n, f, place{1, 1}, nil)
}

// checkSection checks a map of objects.
func (c *conformer) checkSection(e *entry, f *format) {
	at := address{e.key}
	if !c.requireStruct(e.value, f, at) {
		return
	}
	c.checkKeys(e.value, f, at)
	for i := range e.value.entries {
		sub := &e.value.entries[i]
		c.checkObject(sub, f.elem, at.with(sub.key))
	}
}

// checkObject checks one value and all below it, and has CUE check what is left of it.
func (c *conformer) checkObject(e *entry, f *format, at address) {
	value, ok := c.value(e.value, f, e.at, at)
	if ok {
		c.check(c.report, e.value, value, f, at)
	}
}

// value gives what CUE is to see of a value, and false when there is nothing.
func (c *conformer) value(n *node, f *format, keyAt place, at address) (any, bool) {
	switch f.kind {
	case cue.StructKind:
		return c.structValue(n, f, keyAt, at)
	case cue.ListKind:
		return c.listValue(n, f, at)
	}
	return c.scalarValue(n, f, at)
}

// most is how many values of one map or list CUE sees at a time: CUE compares each error in a value with all others
// in it. Those beyond are checked in portions as they come, and left out of the value around them.
const most = 256

func (c *conformer) structValue(n *node, f *format, keyAt place, at address) (any, bool) {
	if !c.requireStruct(n, f, at) {
		return nil, false
	}
	c.checkKeys(n, f, at)
	m := make(map[string]any, min(len(n.entries), most))
	from := 0
	for i := range n.entries {
		e := &n.entries[i]
		sub := f.elem
		if f.key == nil {
			sub = f.fields[e.key]
		}
		if sub == nil {
			continue
		}
		v, ok := c.value(e.value, sub, e.at, at.with(e.key))
		if ok && !e.bad {
			m[e.key] = v
		}
		if f.key != nil && len(m) == most {
			c.check(c.report, &node{kind: mapping, at: n.at, entries: n.entries[from : i+1]}, m, f, at)
			clear(m)
			from = i + 1
		}
	}
	c.reportMissing(n, f, keyAt, at)
	return m, true
}

func (c *conformer) listValue(n *node, f *format, at address) (any, bool) {
	if n.kind != sequence || n.tag != "!!seq" {
		next := "write a list, such as [first, second]"
		if n.kind == scalar && n.tag == "!!str" && f.elem.name == "#Text" {
			next = "write a list, such as [sh, -c, " + quote(n.text) + "]"
		}
		if n.null() {
			next = "write [] for an empty list, or leave the key out"
		}
		return c.reportKind(n, at, "must be a list", next)
	}
	list := make([]any, 0, min(len(n.items), most))
	from := 0
	for i, item := range n.items {
		if v, ok := c.value(item, f.elem, item.at, at.with(strconv.Itoa(i))); ok {
			list = append(list, v)
		}
		if len(list) == most {
			c.check(c.report, &node{kind: sequence, at: n.at, items: n.items[from : i+1], first: from}, list, f, at)
			list = list[:0]
			from = i + 1
		}
	}
	return list, true
}

// reportKind reports a value that can't be used.
func (c *conformer) reportKind(n *node, at address, what, next string) (any, bool) {
	n.bad = true
	code := "wrong_type"
	if n.null() {
		code = "no_value"
	}
	c.error(n.at, code, at.String()+" "+what, next)
	return nil, false
}

// requireStruct says that n has keys. A section or object that is there and empty has none.
func (c *conformer) requireStruct(n *node, f *format, at address) bool {
	if n.null() {
		*n = node{kind: mapping, tag: "!!map", at: n.at}
	}
	if n.kind == mapping && n.tag == "!!map" {
		return true
	}
	n.bad = true
	name := at.String()
	if name == "" {
		name = "the manifest"
	}
	next := "write keys and values below it, such as " + example(f)
	if n.kind == mapping {
		next = "leave the tag " + quote(n.tag) + " out"
	}
	if n.kind == scalar && n.tag == "!!str" && f.name == "#Mount" {
		summary, next := mountAdvice(name, n.text)
		c.error(n.at, "wrong_type", summary, next)
		return false
	}
	if n.kind != mapping && len(at) > 0 && at[len(at)-1] == "after" {
		next = afterAdvice(n)
	}
	c.error(n.at, "wrong_type", name+" must have keys", next)
	return false
}

// checkKeys reports the keys that do not belong where they are.
func (c *conformer) checkKeys(n *node, f *format, at address) {
	for i := range n.entries {
		e := &n.entries[i]
		switch {
		case f.key != nil && f.key.MatchString(e.key):
		case f.key != nil:
			e.bad = true
			c.reportBadKey(e, f, at)
		case f.fields[e.key] == nil:
			e.bad = true
			c.reportUnknownKey(e, f, at)
		}
	}
}

// reportMissing reports required fields that are not there. A field that is there and wrong is not missing, nor is one
// whose misspelt key was reported.
func (c *conformer) reportMissing(n *node, f *format, keyAt place, at address) {
	for _, name := range f.order {
		if !f.fields[name].required || n.get(name) != nil || n.misspells(name) {
			continue
		}
		who := at.String()
		if who == "" {
			who = "the manifest"
		}
		c.error(keyAt, "missing_field", who+" has no "+name, "add "+name+": "+fieldExample(f.fields[name]))
	}
}
