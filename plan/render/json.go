package render

import (
	"encoding/json"
	"fmt"
	"io"

	"microagent/plan"
	"microagent/plan/observed"
	"microagent/schema/diag"
	"microagent/schema/printable"
	"microagent/schema/spec"
)

// FormatVersion is the version of the JSON document. Readers ignore fields they don't know and reject another major.
const FormatVersion = "1.0"

type document struct {
	FormatVersion string            `json:"format_version"`
	Tool          string            `json:"tool"`
	Project       string            `json:"project"`
	Manifest      string            `json:"manifest,omitempty"`
	Destroy       bool              `json:"destroy"`
	Targets       []string          `json:"targets,omitempty"`
	Empty         bool              `json:"empty"`
	Errors        int               `json:"errors"`   // len(refusals)
	Refusals      []diag.Diagnostic `json:"refusals"` // why it can't be applied
	Summary       Summary           `json:"summary"`
	Host          spec.Host         `json:"host"`
	Isolation     string            `json:"isolation"` // the sentence of the text form
	Changes       []plan.Change     `json:"changes"`
	Capacity      plan.Capacity     `json:"capacity"` // what it needs of the host
	Bound         map[string]string `json:"bound"`
	Warnings      []diag.Diagnostic `json:"warnings"`
}

// JSON writes p as one document, for programs. It is for reading: apply takes a plan file (see planfile), which has
// the values of environment variables, and this has not.
func JSON(w io.Writer, p *plan.Plan) error {
	doc := document{
		FormatVersion: FormatVersion, Tool: p.Tool, Project: p.Project, Manifest: p.Manifest, Destroy: p.Destroy, Targets: p.Targets,
		Empty: p.Empty(), Errors: len(p.Refusals), Refusals: p.Refusals, Summary: Summarise(p), Host: p.Host, Isolation: isolation(p), Changes: withoutEnv(p.Changes),
		Capacity: p.Capacity, Bound: p.Bound, Warnings: p.Warnings,
	}
	if doc.Warnings == nil {
		doc.Warnings = []diag.Diagnostic{}
	}
	if doc.Refusals == nil {
		doc.Refusals = []diag.Diagnostic{}
	}
	if doc.Host.Missing == nil {
		doc.Host.Missing = []string{}
	}
	enc := json.NewEncoder(printable.JSONWriter(w))
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(doc); err != nil {
		return fmt.Errorf("write plan of project %s: %w", p.Project, err)
	}
	return nil
}

func withoutEnv(changes []plan.Change) []plan.Change {
	shown := append([]plan.Change{}, changes...)
	for i := range shown {
		if spec := shown[i].Workspace; spec != nil {
			hidden := *spec
			hidden.Env = observed.HideEnv(spec.Env)
			shown[i].Workspace = &hidden
		}
	}
	return shown
}
