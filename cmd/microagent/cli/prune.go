package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"microagent/cmd/microagent/cli/term"
	"microagent/cmd/microagent/cli/view"
	"microagent/runtime/layout"
)

func (a *app) pruneCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "prune", Short: "remove cached disks that nothing uses",
		Long: "Shows which cached disks no workspace and no bundle uses, which root file systems replacements kept, and how\n" +
			"much they take, and which jobs have ended; with --yes it removes them, and what is left of killed runs. What is\n" +
			"needed again is built again. Volumes and the root file systems of workspaces are never touched, nor are jobs\n" +
			"with outputs that nobody brought out.",
		Example:     "  microagent prune\n  microagent prune --yes",
		Annotations: exitsWith(ExitOK, ExitFailed),
		RunE: does(func(ctx context.Context, _ []string) error {
			w, err := a.open(yes)
			if err != nil {
				return err
			}
			keep, err := inUse(ctx, w)
			if err != nil {
				return err
			}
			freed, removed, err := w.Disks.Prune(ctx, keep, !yes)
			if err != nil {
				return err
			}
			kept, replaced, err := w.Workspaces.Prune(ctx, !yes)
			if err != nil {
				return err
			}
			ofJobs, jobs, err := w.Jobs.PruneJobs(ctx, !yes)
			if err != nil {
				return err
			}
			freed += kept + ofJobs
			if a.JSON {
				return a.PrintJSON(map[string]any{"dry_run": !yes, "bytes": freed, "disks": nonNil(removed), "replaced": nonNil(replaced), "jobs": view.OfJobs(jobs)})
			}
			for _, key := range removed {
				fmt.Fprintln(a.Out, key)
			}
			for _, name := range replaced {
				fmt.Fprintf(a.Out, "%s of workspace %s\n", layout.RootFSPrev, name)
			}
			for _, j := range jobs {
				fmt.Fprintf(a.Out, "job %s of workspace %s\n", j.ID, j.Workspace)
			}
			if !yes && len(removed)+len(replaced)+len(jobs) > 0 {
				a.Say("nothing was removed yet; to do it: microagent prune --yes")
			}
			verb := map[bool]string{true: "freed", false: "would free"}[yes]
			what := counting(len(removed)+len(replaced), "disk")
			if len(jobs) > 0 {
				what += ", " + counting(len(jobs), "job")
			}
			return a.Done(nil, "%s, %s %s", what, verb, term.Size(freed))
		}),
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "remove them")
	return cmd
}

// inUse are the keys of the disks that workspaces and bundle records name.
func inUse(ctx context.Context, w *world) (map[string]bool, error) {
	keep := map[string]bool{}
	workspaces, err := w.Workspaces.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, ws := range workspaces {
		keep[ws.Spec.RootFS] = true
		for _, m := range ws.Spec.Mounts {
			keep[m.Source] = true
		}
	}
	bundles, err := w.Projects.Bundles(ctx)
	if err != nil {
		return nil, err
	}
	for _, b := range bundles {
		keep[b.Key] = true
	}
	return keep, nil
}
