package schema

import (
	"strconv"
	"strings"

	"microagent/schema/diag"
	"microagent/schema/printable"
)

// report adds to the list what is found at a place of one manifest.
type report struct {
	file   string
	source *diag.Source
	list   *diag.List
}

func (r *report) pos(at place) diag.Pos { return diag.Pos{File: r.file, Line: at.line, Col: at.col} }

func (r *report) error(at place, code, summary, next string) {
	r.add(diag.Error, at, code, summary, "", next)
}

func (r *report) add(s diag.Severity, at place, code, summary, detail, next string) {
	r.list.Add(r.source.Mark(diag.Diagnostic{
		Severity: s, Code: code, Summary: summary, Detail: detail, Next: next, Pos: r.pos(at),
	}))
}

// quote shows a text of the manifest in a message, cut when it is long.
func quote(s string) string {
	const most = 60
	if len(s) > most {
		cut := most
		for cut > 0 && s[cut]&0xc0 == 0x80 {
			cut--
		}
		s = s[:cut] + "..."
	}
	return strconv.Quote(s)
}

// address names a value in a message: "workspaces.counter.mounts./work".
type address []string

func (a address) with(key string) address {
	return append(a[:len(a):len(a)], key)
}

func (a address) String() string { return printable.Line(strings.Join(a, ".")) }
