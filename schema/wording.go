package schema

import (
	"strings"

	"microagent/schema/printable"

	"cuelang.org/go/cue"
)

// wanted completes "write ...".
func (f *format) wanted() string {
	switch {
	case f.want != "":
		return f.want
	case f.kind == cue.BoolKind:
		return "true or false"
	}
	return kindText(f)
}

// wantedFor is wanted, or the one accepted text that resembles the given one.
func (f *format) wantedFor(text string) string {
	if meant := valueAdvice[f.name][text]; meant != "" {
		return meant
	}
	if near := closest(text, f.enum); near != "" {
		return f.wanted() + "; did you mean " + near + "?"
	}
	return f.wanted()
}

func kindText(f *format) string {
	switch f.kind {
	case cue.StructKind:
		return "keys and values"
	case cue.ListKind:
		return "a list"
	case cue.BoolKind:
		return "true or false"
	case cue.IntKind:
		return "a whole number"
	}
	return "text"
}

// example gives the shape of a struct's content.
func example(f *format) string {
	if f.key != nil {
		switch f.elem.kind {
		case cue.StructKind:
			return "NAME: {" + strings.Join(f.elem.order[:min(1, len(f.elem.order))], "") + ": ...}"
		}
		return "NAME: value"
	}
	if len(f.order) > 0 {
		return f.order[0] + ": ..."
	}
	return "key: value"
}

// fieldExample gives a value for a missing field.
func fieldExample(f *format) string {
	if _, such, ok := strings.Cut(f.want, "such as "); ok {
		such, _, _ = strings.Cut(such, " or ")
		return such
	}
	if f.name == "#Name" {
		return "a-name"
	}
	return "..."
}

// cut shows a text of the manifest within what to write, shortened when it is long.
func cut(s string) string {
	const most = 40
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return printable.Line(s)
}
