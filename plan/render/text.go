package render

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"microagent/plan"
	"microagent/plan/observed"
	"microagent/schema/spec"
)

// Text writes p for people.
func Text(w io.Writer, p *plan.Plan, o Options) error {
	b := bufio.NewWriter(w)
	t := &text{Writer: b, Options: o}
	groups := split(p)
	if p.Empty() && !o.Verbose {
		t.line(end(p))
		t.warnings(p)
		return b.Flush()
	}
	t.columns(p)
	t.group("Drifted since the last apply:", groups.drift)
	t.group("Changes:", groups.changes)
	t.group("Kept:", groups.kept)
	if o.Verbose {
		t.group("As declared:", groups.unchanged)
	}
	t.warnings(p)
	if line := isolation(p); line != "" && starts(p) {
		t.line("Runs under " + esc(line))
	}
	if !p.Empty() {
		t.summary(p)
	}
	if line := end(p); line != "" {
		t.line(line)
	}
	return b.Flush()
}

type grouped struct{ drift, changes, kept, unchanged []*plan.Change }

func split(p *plan.Plan) grouped {
	var g grouped
	for i := range p.Changes {
		c := &p.Changes[i]
		switch {
		case c.Action == plan.ActionKeep:
			g.kept = append(g.kept, c)
		case !c.Does():
			g.unchanged = append(g.unchanged, c)
		case c.Reason == plan.ReasonDrifted:
			g.drift = append(g.drift, c)
		default:
			g.changes = append(g.changes, c)
		}
	}
	return g
}

// text writes lines; errors stay in the buffered writer until its Flush.
type text struct {
	*bufio.Writer
	Options
	address, action int // widths of columns
}

// maxColumn keeps one long name from pushing every sentence off the screen.
const maxColumn = 44

func (t *text) columns(p *plan.Plan) {
	for i := range p.Changes {
		c := &p.Changes[i]
		if !c.Does() && c.Action != plan.ActionKeep && !t.Verbose {
			continue
		}
		t.address = max(t.address, min(utf8.RuneCountInString(esc(c.Address.String())), maxColumn))
		t.action = max(t.action, len(c.Action))
	}
}

func (t *text) line(s string) { _, _ = t.WriteString(s + "\n") }

func (t *text) group(title string, list []*plan.Change) {
	if len(list) == 0 {
		return
	}
	t.line(t.paint(bold, title))
	for _, c := range list {
		t.change(c)
	}
	t.line("")
}

func (t *text) change(c *plan.Change) {
	s := signs[c.Action]
	symbol := s.utf8
	if t.ASCII {
		symbol = s.ascii
	}
	left := fmt.Sprintf("  %s %s  %s  ", t.paint(s.color, pad(symbol, 3)), pad(esc(c.Address.String()), t.address), pad(string(c.Action), t.action))
	indent := 2 + 3 + 1 + t.address + 2 + t.action + 2
	lines := t.wrap(esc(why(c)), indent)
	t.line(strings.TrimRight(left+lines[0], " "))
	for _, more := range lines[1:] {
		t.line(strings.Repeat(" ", indent) + more)
	}
	t.onlyIf(c)
	t.after(c)
	t.fields(c)
	t.danger(c)
}

// after names what c waits for because the manifest says so.
func (t *text) after(c *plan.Change) {
	if len(c.After) == 0 {
		return
	}
	list := make([]string, len(c.After))
	for i, w := range c.After {
		list[i] = w.Address.Name + " " + string(w.Until)
	}
	t.below("after ", strings.Join(list, ", "))
}

// onlyIf says for what c is done, when it may not be.
func (t *text) onlyIf(c *plan.Change) {
	if len(c.If) == 0 {
		return
	}
	list := make([]string, len(c.If))
	for i, cause := range c.If {
		list[i] = "bundle " + cause.Bundle + " is not " + short(cause.Not) + " then"
	}
	t.below("only if ", strings.Join(list, ", or "))
}

// below writes a line under a change.
func (t *text) below(head, s string) {
	lines := t.wrap(esc(s), len(under)+len(head))
	t.line(under + head + lines[0])
	for _, more := range lines[1:] {
		t.line(under + strings.Repeat(" ", len(head)) + more)
	}
}

const under = "        "

func (t *text) fields(c *plan.Change) {
	width := 0
	for _, f := range c.Fields {
		width = max(width, min(utf8.RuneCountInString(esc(f.Path)), maxColumn))
	}
	for _, f := range c.Fields {
		line := fmt.Sprintf("%s%s  %s -> %s", under, pad(esc(f.Path), width), t.value(f.Before), t.value(f.After))
		if f.Forces {
			line += "  " + t.paint(red, "# forces replacement")
		}
		switch {
		case c.Action == plan.ActionRestart && f.Effect == observed.EffectRestart:
			line += "  " + t.paint(yellow, "# needs a restart"+because(f.Why))
		case c.InPlace() && f.Effect == observed.EffectLive:
			line += "  " + t.paint(green, "# in place, running")
		}
		t.line(line)
	}
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + esc(why)
}

// value is one side of a changed field.
func (t *text) value(s string) string {
	if s == "" {
		return "(none)"
	}
	if !t.Verbose {
		s = cut(short(s), 60, t.ASCII)
	}
	return esc(s)
}

func (t *text) danger(c *plan.Change) {
	word, color := "note", ""
	switch c.Danger {
	case plan.DangerSetAside:
		word, color = "set aside", yellow
	case plan.DangerDataLoss:
		word, color = "data loss", red
	case plan.DangerDowntime:
		word, color = "downtime", yellow
	}
	if c.Warning == "" {
		return
	}
	lines := t.wrap(esc(c.Warning), len(under)+len("! "+word+": "))
	t.line(under + t.paint(color, "! "+word+": ") + lines[0])
	for _, more := range lines[1:] {
		t.line(under + "  " + more)
	}
}

func (t *text) warnings(p *plan.Plan) {
	for i := range p.Warnings {
		_, _ = t.WriteString(p.Warnings[i].Text())
	}
	if len(p.Warnings) > 0 && !p.Empty() {
		t.line("")
	}
}

func (t *text) paint(color, s string) string {
	if !t.Color || color == "" {
		return s
	}
	return color + s + reset
}

// wrap breaks s between words at the width that is left right of indent. What follows ": microagent" is a command and
// stays in one piece.
func (t *text) wrap(s string, indent int) []string {
	room := t.Width - indent
	if t.Width <= 0 || room < 20 || utf8.RuneCountInString(s) <= room {
		return []string{s}
	}
	command := ""
	if i := strings.Index(s, ": microagent "); i >= 0 {
		s, command = s[:i+1], s[i+2:]
	}
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > room {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	lines = append(lines, line)
	if command != "" {
		lines = append(lines, command)
	}
	return lines
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}

func cut(s string, width int, ascii bool) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	dots := "…"
	if ascii {
		dots = "..."
	}
	runes := []rune(s)
	return string(runes[:width-utf8.RuneCountInString(dots)]) + dots
}

// short cuts a digest to what tells it from others.
func short(s string) string {
	const algorithm, digits = len("sha256:"), 12
	if strings.HasPrefix(s, "sha256:") && len(s) == algorithm+64 {
		return s[:algorithm+digits]
	}
	return s
}

// starts says whether p starts a guest.
func starts(p *plan.Plan) bool {
	for i := range p.Changes {
		c := &p.Changes[i]
		switch c.Action {
		case plan.ActionRun:
			return true
		case plan.ActionCreate, plan.ActionReplace, plan.ActionRestart, plan.ActionStart:
			if c.Workspace != nil && c.Workspace.Desired != spec.DesiredStopped && c.Workspace.Mode != spec.ModeTask {
				return true
			}
		}
	}
	return false
}

func plural(n int, one string, many ...string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, cmp.Or(strings.Join(many, ""), one+"s"))
}
