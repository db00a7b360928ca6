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
	// private are the lines that hold values of environment variables: a message about them doesn't show them.
	private map[int]bool
}

// keepPrivate marks the lines of every workspace's env.
func (r *report) keepPrivate(root *node) {
	r.private = map[int]bool{}
	for _, workspace := range each(root.get("workspaces")) {
		for _, env := range each(workspace.value) {
			if env.key == "env" {
				r.keepLines(env.value)
			}
		}
	}
}

func (r *report) keepLines(n *node) {
	r.private[n.at.line] = true
	for _, e := range n.entries {
		r.private[e.at.line] = true
		r.keepLines(e.value)
	}
	for _, item := range n.items {
		r.keepLines(item)
	}
}

func (r *report) pos(at place) diag.Pos { return diag.Pos{File: r.file, Line: at.line, Col: at.col} }

func (r *report) error(at place, code, summary, next string) {
	r.add(diag.Error, at, code, summary, "", next)
}

func (r *report) add(s diag.Severity, at place, code, summary, detail, next string) {
	d := r.source.Mark(diag.Diagnostic{
		Severity: s, Code: code, Summary: summary, Detail: detail, Next: next, Pos: r.pos(at),
	})
	if r.private[at.line] {
		d.Snippet, d.SnippetCol = "", 0
	}
	r.list.Add(d)
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

// ofEnv says whether it is the value of an environment variable, which is never shown.
func (a address) ofEnv() bool { return len(a) == 4 && a[0] == "workspaces" && a[2] == "env" }

func (a address) String() string { return printable.Line(strings.Join(a, ".")) }
