package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"microagent/runtime/driver"
)

func (a *app) restoreCommand() *cobra.Command {
	return &cobra.Command{
		Use: "restore WORKSPACE", Short: "bring back a workspace's root file system of before",
		ValidArgsFunction: a.completeOne(keptNames),
		Long: "Brings back what a reset took away, or an apply, a destroy or a delete of a project's workspace: its root file\n" +
			"system, with the image and all else that it was made of. What is there of that name now is kept in its place, so\n" +
			"that doing it again goes back. One that runs has to halt first, and none is started. It stays until\n" +
			"the next replacement, reset or prune; list --kept shows what there is.",
		Example:     "  microagent list --kept\n  microagent restore web",
		Annotations: exitsWith(ExitOK, ExitFailed, ExitRefused, ExitLocked),
		RunE: does(func(ctx context.Context, args []string) error {
			w, err := a.open(true)
			if err != nil {
				return err
			}
			var ws driver.Workspace
			for _, name := range a.candidates(args[0]) {
				if ws, err = w.Workspaces.Restore(ctx, name); !errors.Is(err, driver.ErrNotFound) {
					break
				}
			}
			if err != nil {
				return err
			}
			if ws.Spec.Project != "" {
				a.Say("an apply makes it as its manifest says; to see what that would do: microagent plan")
			}
			return a.Done(map[string]string{"restored": ws.Spec.Name, "image": ws.Spec.Image}, "Restored %q of %s", ws.Spec.Name, ws.Spec.Image)
		}),
	}
}
