package cli

import (
	"context"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"

	"microagent/schema"
)

func (a *app) renderCommand() *cobra.Command {
	var allow []string
	cmd := &cobra.Command{
		Use: "render", Short: "print the manifest as it is understood",
		Long: "Prints the manifest with anchors and merge keys written out and the defaults that apply, as YAML or, with\n" +
			"--json, as JSON. It means the same as the manifest. The values of environment variables are in it.",
		Example:     "  microagent render\n  microagent -C examples/hello render --json",
		Annotations: exitsWith(ExitOK, ExitFailed, ExitInvalid),
		RunE: does(func(context.Context, []string) error {
			s, err := a.readManifest()
			if err != nil {
				return err
			}
			text, list := schema.Render(s.name, s.data, schema.Options{Outside: outside(s.path, allow)}, a.flags.project)
			if list.Errors() {
				return &invalidError{list: list, code: ExitInvalid}
			}
			a.diagnostics(list)
			if a.JSON {
				return a.renderJSON(text)
			}
			_, err = a.Out.Write(text)
			return err
		}),
	}
	cmd.Flags().StringArrayVar(&allow, "allow-path", nil, "let the manifest name paths in `DIR` as well")
	return cmd
}

func (a *app) renderJSON(text []byte) error {
	var v any
	if err := yaml.Unmarshal(text, &v); err != nil {
		return err
	}
	return a.PrintJSON(v)
}
