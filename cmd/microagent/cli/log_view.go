package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"microagent/cmd/microagent/cli/term"
	"microagent/runtime/driver"
	"microagent/schema/printable"
)

// logView shows the lines of several workspaces, or of one with times.
type logView struct {
	a       *app
	options logsFlags
	project string // whose workspaces go by their bare names
	alone   bool   // one workspace: its name is not shown
	width   int
	colours map[string]string
	untimed map[string]bool // said of
	lines   *term.Lines
}

// prefixColours tell the names apart; they say nothing.
var prefixColours = []string{"36", "33", "32", "35", "34", "96", "93", "92", "95", "94"}

func (a *app) newLogView(o logsFlags, project string, names []string, alone bool) *logView {
	v := &logView{a: a, options: o, project: project, alone: alone, colours: map[string]string{}, untimed: map[string]bool{}}
	v.lines = term.NewLines(v.line)
	for _, name := range names {
		v.width = max(v.width, len(v.name(name)))
	}
	return v
}

// name is what a workspace goes by.
func (v *logView) name(workspace string) string {
	if bare, ok := strings.CutPrefix(workspace, v.project+"."); ok && v.project != "" {
		return bare
	}
	return workspace
}

// take shows a piece or a mark.
func (v *logView) take(p driver.Written) error {
	if p.Run == nil {
		if p.Time.IsZero() && (v.options.times || !v.options.Since.IsZero()) && !v.untimed[p.Workspace] {
			v.untimed[p.Workspace] = true
			v.a.Say("%s: its log has no times, which an older version did not keep", v.name(p.Workspace))
		}
		return v.lines.Write(p.Workspace, p.Stream, p.Time, p.Data)
	}
	if err := v.lines.Flush(p.Workspace); err != nil {
		return err
	}
	mark := markOf(p)
	if v.a.JSON {
		return v.a.PrintLine(mark)
	}
	if !v.alone {
		v.a.Say("%s: %s", v.name(p.Workspace), mark.text(*p.Run))
	}
	return nil
}

// line shows a line.
func (v *logView) line(l term.LogLine) error {
	if v.a.JSON {
		return v.a.PrintLine(l)
	}
	w := v.a.Out
	if l.Stream == "stderr" {
		w = v.a.Err
	}
	text := l.Line
	if term.IsTerminal(w) {
		text = printable.Text(text)
	}
	if v.options.times {
		text = stampOf(l.Time) + " " + text
	}
	_, err := io.WriteString(w, v.prefix(w, l.Workspace)+text+"\n")
	return err
}

func stampOf(at *time.Time) string {
	if at == nil {
		return "-"
	}
	return at.Format(stamp)
}

func (v *logView) prefix(w io.Writer, workspace string) string {
	if v.alone {
		return ""
	}
	name := v.name(workspace)
	v.width = max(v.width, len(name))
	prefix := fmt.Sprintf("%-*s | ", v.width, name)
	if !v.a.Colour(w) {
		return prefix
	}
	colour, ok := v.colours[name]
	if !ok {
		colour = prefixColours[len(v.colours)%len(prefixColours)]
		v.colours[name] = colour
	}
	return "\x1b[" + colour + "m" + prefix + "\x1b[0m"
}
