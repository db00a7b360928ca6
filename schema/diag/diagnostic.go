package diag

import "microagent/schema/printable"

// Severity is how much a diagnostic weighs. Only errors make a manifest invalid.
type Severity string

// The severities.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// Diagnostic is one thing that is wrong with a manifest, or worth a look. Texts may hold what the manifest holds:
// the writers of this package escape it for a terminal, and whoever prints one by other means has to.
type Diagnostic struct {
	Severity Severity `json:"severity"`
	// Code is for programs: a stable snake_case word, such as unknown_key.
	Code string `json:"code"`
	// Summary is one line without a full stop that names the object: what is wrong.
	Summary string `json:"summary"`
	// Detail is more sentences, or "".
	Detail string `json:"detail,omitempty"`
	// Next is what to write or do instead, as one sentence without a full stop, or "".
	Next string `json:"next,omitempty"`
	Pos  Pos    `json:"pos,omitzero"`
	// Snippet is the source line at Pos without its end, cut to a length that fits a terminal, or "". SnippetCol
	// is where Pos is in it, in characters from 1.
	Snippet    string `json:"snippet,omitempty"`
	SnippetCol int    `json:"snippet_col,omitempty"`
}

// Error makes a diagnostic an error for those that need one: place and summary in a line.
func (d *Diagnostic) Error() string {
	s := printable.Line(d.Summary)
	if p := d.Pos.String(); p != "" {
		s = printable.Line(p) + ": " + s
	}
	return s
}
