package cli

import (
	"context"

	"github.com/spf13/cobra"

	"microagent/schema"
)

func (a *app) validateCommand() *cobra.Command {
	var o struct {
		allow  []string
		strict bool
	}
	cmd := &cobra.Command{
		Use: "validate [FILE]", Short: "check a manifest", Args: cobra.MaximumNArgs(1),
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
			if errs > 0 || o.strict && warnings > 0 {
				return &invalidError{list: list, code: ExitInvalid}
			}
			a.diagnostics(list)
			return a.done(map[string]any{"valid": true, "project": m.Project, "warnings": warnings},
				"%s: valid: %s", s.name, counted(m))
		}),
	}
	cmd.Flags().StringArrayVar(&o.allow, "allow-path", nil, "let the manifest name paths in `DIR` as well")
	cmd.Flags().BoolVar(&o.strict, "strict", false, "let warnings make it invalid")
	return cmd
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
