package cli

import (
	"context"

	"github.com/spf13/cobra"

	"microagent/plan/render"
)

func (a *app) graphCommand() *cobra.Command {
	var allow []string
	var format string
	cmd := &cobra.Command{
		Use: "graph", Short: "print what needs what in a manifest",
		Long: "Prints what the manifest declares as a graph: an arrow leads from what is needed first to what needs it, with\n" +
			"where it is mounted or until when it is waited for. It reads the manifest and nothing else; plan --graph has\n" +
			"what an apply would do now.",
		Example:     "  microagent graph | dot -Tsvg > graph.svg\n  microagent graph --format mermaid",
		Annotations: exitsWith(ExitOK, ExitInvalid, ExitUsage),
		RunE: does(func(context.Context, []string) error {
			g := render.GraphFormat(format)
			if g != render.Dot && g != render.Mermaid {
				return usagef("microagent graph", "--format is %q; it can be dot or mermaid", format)
			}
			m, _, err := a.load(allow)
			if err != nil {
				return err
			}
			return render.Declared(a.Out, m, g)
		}),
	}
	cmd.Flags().StringVar(&format, "format", string(render.Dot), "dot or mermaid")
	cmd.Flags().StringArrayVar(&allow, "allow-path", nil, "let the manifest name paths in `DIR` as well")
	return cmd
}
