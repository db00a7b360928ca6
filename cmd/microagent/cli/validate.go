package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"microagent/schema"
	"microagent/schema/diag"
)

func (a *app) validateCommand() *cobra.Command {
	var o struct {
		allow  []string
		strict bool
	}
	cmd := &cobra.Command{
		Use: "validate [FILE]", Short: "check a manifest",
		Long: "Reports everything that is wrong with the manifest, each with its place and what to write instead. It\n" +
			"reads the manifest and nothing else. FILE may be - for stdin.",
		Example:     "  microagent validate\n  microagent -C examples/hello validate --json",
		Annotations: exitsWith(ExitOK, ExitFailed, ExitInvalid),
		RunE: does(func(_ context.Context, args []string) error {
			if len(args) == 1 {
				a.flags.file = args[0]
			}
			s, err := a.readManifest()
			if err != nil {
				return err
			}
			m, list := schema.Load(s.name, s.data, schema.Options{Outside: outside(s.path, o.allow)})
			errs, warnings := list.Count()
			valid := errs == 0 && !(o.strict && warnings > 0)
			switch {
			case a.JSON:
				return a.validity(m, list, valid)
			case !valid:
				return &invalidError{list: list, code: ExitInvalid}
			}
			a.diagnostics(list)
			fmt.Fprintf(a.Out, "%s: valid: %s\n", s.name, counted(m))
			return nil
		}),
	}
	cmd.Flags().StringArrayVar(&o.allow, "allow-path", nil, "let the manifest name paths in `DIR` as well")
	cmd.Flags().BoolVar(&o.strict, "strict", false, "let warnings make it invalid")
	return cmd
}

// validityFormat is the version of what validate --json writes: a record of this first, then one of each diagnostic.
const validityFormat = 1

// validity writes the result for programs: a line that says whether the manifest is valid, and one for each diagnostic.
func (a *app) validity(m *schema.Manifest, list *diag.List, valid bool) error {
	errs, warnings := list.Count()
	first := struct {
		Format   int    `json:"format"`
		Valid    bool   `json:"valid"`
		Project  string `json:"project,omitempty"`
		Errors   int    `json:"errors"`
		Warnings int    `json:"warnings"`
	}{Format: validityFormat, Valid: valid, Errors: errs, Warnings: warnings}
	if m != nil {
		first.Project = m.Project
	}
	if err := a.PrintLine(first); err != nil {
		return err
	}
	if err := list.WriteJSON(a.Out); err != nil {
		return err
	}
	if !valid {
		return exits(ExitInvalid, nil)
	}
	return nil
}

// counted is what a manifest has, in words.
func counted(m *schema.Manifest) string {
	var list []string
	for _, c := range []struct {
		n    int
		noun string
	}{
		{len(m.Workspaces), "workspace"}, {len(m.Volumes), "volume"}, {len(m.Bundles), "bundle"}, {len(m.Disks), "disk"},
		{len(m.Outputs), "output"},
	} {
		if c.n > 0 {
			list = append(list, counting(c.n, c.noun))
		}
	}
	if len(list) == 0 {
		return "nothing in it yet"
	}
	return joined(list)
}
