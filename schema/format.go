package schema

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"cuelang.org/go/cue"
)

// format is what one value may be, read from the description.
type format struct {
	kind     cue.Kind           // what it may be; for a scalar several kinds
	value    cue.Value          // what CUE checks
	name     string             // of the definition it refers to: "#Size"; "" for none
	want     string             // completes "write ..."; "" for none
	fallback string             // text of the value when the field is absent
	required bool               // the field has to be there
	enum     []string           // the only texts it may be
	fields   map[string]*format // of a struct with fixed fields
	order    []string           // their names in the description's order
	elem     *format            // of a list's items or a map's values
	key      *regexp.Regexp     // of a map's keys, nil for fixed fields
	keyWant  string             // completes "write ..." for a key
}

// text says that a string is accepted, so that a scalar of any accepted kind is taken as it is written.
func (f *format) text() bool { return f.kind&cue.StringKind != 0 }

// readFormat reads what v may be. The description refers to no definition from within itself, so it ends.
func readFormat(v cue.Value) (*format, error) {
	f := &format{
		kind:     v.IncompleteKind(),
		value:    v,
		want:     attribute(v, "want"),
		fallback: attribute(v, "default"),
	}
	if _, path := v.ReferencePath(); len(path.Selectors()) > 0 {
		f.name = path.String()
	}
	switch {
	case f.kind == cue.StructKind:
		return f, f.readFields(v)
	case f.kind == cue.ListKind:
		elem, err := readFormat(v.LookupPath(cue.MakePath(cue.AnyIndex)))
		f.elem = elem
		return f, err
	case f.kind&(cue.StructKind|cue.ListKind) != 0:
		return nil, fmt.Errorf("schema.cue: %v may be of a struct or list and another kind", v.Path())
	}
	f.enum = enumOf(v)
	if f.want == "" && len(f.enum) > 0 {
		f.want = strings.Join(f.enum, " or ")
	}
	return f, nil
}

func (f *format) readFields(v cue.Value) error {
	fields, err := v.Fields(cue.Optional(true), cue.Patterns(true))
	if err != nil {
		return fmt.Errorf("schema.cue: %v: %w", v.Path(), err)
	}
	f.fields = map[string]*format{}
	for fields.Next() {
		sel := fields.Selector()
		sub, err := readFormat(fields.Value())
		if err != nil {
			return err
		}
		if sel.ConstraintType() != cue.PatternConstraint {
			sub.required = sel.ConstraintType() == cue.RequiredConstraint
			name := sel.Unquoted()
			f.fields[name] = sub
			f.order = append(f.order, name)
			continue
		}
		pattern := sel.Pattern()
		op, args := pattern.Expr()
		if op != cue.RegexMatchOp || f.key != nil {
			return fmt.Errorf("schema.cue: %v: the keys of a map need one regular expression", v.Path())
		}
		text, err := args[0].String()
		if err != nil {
			return fmt.Errorf("schema.cue: %v: %w", v.Path(), err)
		}
		if f.key, err = regexp.Compile(text); err != nil {
			return fmt.Errorf("schema.cue: %v: %w", v.Path(), err)
		}
		f.elem = sub
		f.keyWant = attribute(pattern, "want")
	}
	if f.key != nil && len(f.fields) > 0 {
		return fmt.Errorf("schema.cue: %v has both fields and a pattern", v.Path())
	}
	return nil
}

// attribute gives the argument of an attribute at the field, or else at the definition that it refers to.
func attribute(v cue.Value, name string) string {
	for _, v := range []cue.Value{v, cue.Dereference(v)} {
		a := v.Attribute(name)
		if text, err := a.String(0); err == nil {
			return text
		}
	}
	return ""
}

// enumOf gives the texts of a disjunction of texts.
func enumOf(v cue.Value) []string {
	op, args := v.Expr()
	if op != cue.OrOp {
		return nil
	}
	var texts []string
	for _, a := range args {
		text, err := a.String()
		if err != nil {
			return nil
		}
		texts = append(texts, text)
	}
	return texts
}

// fallbackValue gives the default as the YAML it stands for.
func (f *format) fallbackValue() any {
	if f.text() {
		return f.fallback
	}
	if v, err := strconv.ParseInt(f.fallback, 10, 64); err == nil {
		return v
	}
	return f.fallback == "true"
}
