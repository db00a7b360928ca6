package cli

import (
	"context"

	"github.com/spf13/cobra"

	"microagent/cmd/microagent/cli/view"
	"microagent/schema/quantity"
)

func (a *app) createCommand() *cobra.Command {
	var o composeFlags
	cmd := &cobra.Command{
		Use: "create NAME --image IMAGE", Short: "create a workspace, without starting it",
		Long:        "Creates a workspace that idles once it is started, ready for exec. It is kept until delete.",
		Example:     "  microagent create scratch --image docker.io/library/alpine:3.20 -v data:/work",
		Annotations: exitsWith(ExitOK, ExitFailed, ExitRefused, ExitLocked, ExitUsage),
		RunE: does(func(ctx context.Context, args []string) error {
			name, err := quantity.ParseName(args[0])
			if err != nil {
				return usagef("microagent create", "%w", err)
			}
			if name.String() == volumeSide {
				return usagef("microagent create", "a workspace can't be called volume: cp takes volume:NAME:/path for a volume")
			}
			p, err := o.parse(a, name.String())
			if err != nil {
				return badFlag("microagent create", err)
			}
			w, err := a.open(true)
			if err != nil {
				return err
			}
			ws, err := a.compose(ctx, w, p)
			if err != nil {
				return err
			}
			return a.Said(view.OfWorkspace(ws), "Created %q", ws.Spec.Name)
		}),
	}
	a.flags.shadow(cmd, "verbose")
	o.add(cmd)
	return cmd
}
