package cli

import (
	"context"

	"github.com/spf13/cobra"
)

func (a *app) pending(use, short string) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, RunE: does(func(context.Context, []string) error { return notBuilt(use) })}
}
func (a *app) planCommand() *cobra.Command { return a.pending("plan", "show what apply would do") }
func (a *app) applyCommand() *cobra.Command {
	return a.pending("apply", "make the world as the manifest says")
}
func (a *app) destroyCommand() *cobra.Command {
	return a.pending("destroy", "remove what applies created, but volumes")
}
func (a *app) statusCommand() *cobra.Command {
	return a.pending("status", "show a project or a workspace")
}
func (a *app) schemaCommand() *cobra.Command {
	return a.pending("schema", "print the manifest's schema")
}
func (a *app) runCommand() *cobra.Command    { return a.pending("run", "run a one-shot workspace") }
func (a *app) createCommand() *cobra.Command { return a.pending("create", "create a workspace") }
func (a *app) cpCommand() *cobra.Command     { return a.pending("cp", "copy a file in or out") }
func (a *app) kernelCommand() *cobra.Command { return a.pending("kernel", "guest kernels") }
func (a *app) doctorCommand() *cobra.Command {
	return a.pending("doctor", "say what is missing on this host")
}
func (a *app) pruneCommand() *cobra.Command { return a.pending("prune", "remove what nothing uses") }
