// Package render shows a plan: as text for people, as a JSON document for programs and as a graph for dot. The same
// plan and options give the same bytes. It computes nothing that apply relies on, and what comes from manifests,
// images or guests never reaches a terminal unescaped. The commands import it.
package render

import (
	"strings"

	"microagent/plan"
	"microagent/schema/printable"
)

// Options say how text looks. The zero value is plain UTF-8 without wrapping.
type Options struct {
	Color bool
	// ASCII keeps to characters that every terminal has.
	ASCII bool
	// Verbose lists what is as declared too, and cuts nothing short.
	Verbose bool
	// Width is where sentences are wrapped; 0: nowhere. Commands are never wrapped.
	Width int
}

// sentences stand in where a change has none of its own.
var sentences = map[plan.Reason]string{
	plan.ReasonAbsent:        "it is not there yet",
	plan.ReasonFieldChanged:  "it is declared otherwise now",
	plan.ReasonDigestChanged: "its content changed",
	plan.ReasonDependency:    "what it is made of changes",
	plan.ReasonDrifted:       "it is not as it was left",
	plan.ReasonFailed:        "the last run failed",
	plan.ReasonUnfinished:    "an earlier apply did not get this far",
	plan.ReasonNeverRun:      "it never ran",
	plan.ReasonUnderWay:      "it is under way",
	plan.ReasonMissingOutput: "it is missing on the host",
	plan.ReasonNotDeclared:   "it is not in the manifest",
	plan.ReasonRequested:     "it was asked for",
	plan.ReasonDesired:       "its desired state",
}

// why is the sentence that says why c is done.
func why(c *plan.Change) string {
	switch {
	case c.Address.Kind == plan.KindOutput && c.Reason == plan.ReasonDependency && c.Output != nil:
		return "when the task has ended, to " + c.Output.To
	case c.Address.Kind == plan.KindImage && c.Action == plan.ActionPull && c.Image != nil:
		return pullSentence(c)
	case c.Action == plan.ActionNone && (c.Image != nil || c.Bundle != nil): // such lines are verbose
		return contentSentence(c)
	case c.Action == plan.ActionBuild && c.Bundle != nil && c.Bundle.Bytes > 0:
		return c.Detail + ", " + bytes(c.Bundle.Bytes)
	case c.Detail != "":
		return c.Detail
	case c.Action == plan.ActionDelete && c.Reason == plan.ReasonRequested:
		return "destroy was asked for"
	}
	return sentences[c.Reason]
}

// contentSentence names the content of an image or a bundle that stays as it is.
func contentSentence(c *plan.Change) string {
	var known []string
	if c.Image != nil && c.Image.Digest != "" {
		known = append(known, c.Image.Digest)
	}
	if c.Bundle != nil && c.Bundle.Digest != "" {
		known = append(known, c.Bundle.Digest)
	}
	if c.Detail != "" {
		known = append(known, c.Detail)
	}
	return strings.Join(known, ", ")
}

func pullSentence(c *plan.Change) string {
	text := "digest known after pull"
	if c.Image.Digest != "" {
		text = short(c.Image.Digest)
	}
	if c.Image.Size > 0 {
		text += ", " + bytes(c.Image.Size)
	}
	if c.Detail != "" {
		text = c.Detail + ": " + text
	}
	return text
}

type sign struct{ utf8, ascii, color string }

const (
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	red    = "\x1b[31m"
	cyan   = "\x1b[36m"
	bold   = "\x1b[1m"
	reset  = "\x1b[0m"
)

var signs = map[plan.Action]sign{
	plan.ActionNone:    {" ", " ", ""},
	plan.ActionPull:    {"+", "+", green},
	plan.ActionBuild:   {"+", "+", green},
	plan.ActionCreate:  {"+", "+", green},
	plan.ActionMove:    {"→", "=>", cyan},
	plan.ActionGrow:    {"~", "~", yellow},
	plan.ActionUpdate:  {"~", "~", yellow},
	plan.ActionRestart: {"↻", "@", yellow},
	plan.ActionReplace: {"-/+", "-/+", red},
	plan.ActionStart:   {"▶", ">", green},
	plan.ActionStop:    {"■", "x", yellow},
	plan.ActionRun:     {"▶", ">", cyan},
	plan.ActionWait:    {"…", ":", cyan},
	plan.ActionCollect: {"↓", "<", cyan},
	plan.ActionDelete:  {"-", "-", red},
	plan.ActionKeep:    {"=", "=", ""},
}

// isolation is the line that says what would run the workspaces.
func isolation(p *plan.Plan) string {
	h := p.Host
	switch {
	case h.VMM == "":
		return ""
	case h.Hardware:
		return h.VMM + ": isolated by hardware virtualisation"
	case h.Why != "":
		return h.VMM + ": software emulation, not a security boundary (" + h.Why + ")"
	}
	return h.VMM + ": software emulation, not a security boundary"
}

func esc(s string) string { return printable.Line(s) }
