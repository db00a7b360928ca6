package cli

import (
	"context"

	"github.com/spf13/cobra"

	"microagent/apply"
	"microagent/cmd/microagent/cli/view"
	"microagent/runtime/driver"
)

// restarted is the record of a restart.
type restarted struct {
	Name   string `json:"name"`
	Was    bool   `json:"was_running"`
	Forced bool   `json:"forced"`
	view.Run
}

func (a *app) restartCommand() *cobra.Command {
	var o driver.StopOptions
	var until waitFlags
	cmd := &cobra.Command{
		Use: "restart WORKSPACE...", Short: "stop workspaces and start them again",
		Long: "As halt and start do, one after the other: the guest boots anew, and its disks stay. What flags of start gave to the\n" +
			"run that ends, ports and network, goes with it. One that others come after when it is ready is waited for.\n" +
			sequenceText + "What comes after them and is not named goes on.\n" + severalText,
		Example:     "  microagent restart web\n  microagent restart --grace 1m db web",
		Annotations: exitsWith(ExitOK, ExitFailed, ExitRefused, ExitLocked, ExitUsage, ExitTimeout),
		RunE: does(func(ctx context.Context, args []string) error {
			if err := until.check("restart"); err != nil {
				return err
			}
			w, err := a.open(true)
			if err != nil {
				return err
			}
			all, _ := w.Workspaces.List(ctx)
			return a.inSequence(ctx, w, a.choose(ctx, w, "restart workspace", args), func(ctx context.Context, seq *apply.Sequence, ws driver.Workspace) (told, error) {
				var how driver.Stopped
				var run driver.Run
				err := seq.Down(ctx, ws.Spec.Name, func() (err error) {
					how, err = a.halt(ctx, w, ws.Spec.Name, o)
					return err
				})
				if err != nil {
					return told{}, err
				}
				until := until
				until.wait = until.wait || apply.AwaitedReady(all, ws.Spec.Name)
				run, err = a.bringUpIn(ctx, w, seq, ws, driver.StartOptions{}, until)
				if err != nil {
					return told{}, err
				}
				return told{restarted{ws.Spec.Name, how.Was, how.Forced, view.OfRun(run)}, "Restarted %q", []any{ws.Spec.Name}}, nil
			})
		}),
	}
	spanVar(cmd.Flags(), &o.Grace, "grace", "how long the guest may take to stop (default: the workspace's own)")
	cmd.Flags().BoolVar(&o.Force, "force", false, "don't ask the guest to stop")
	cmd.Flags().BoolVar(&until.wait, "wait", false, "wait until it is ready again")
	until.add(cmd.Flags())
	return cmd
}

// halt stops a workspace, and says so when its guest had to be forced.
func (a *app) halt(ctx context.Context, w *world, name string, o driver.StopOptions) (driver.Stopped, error) {
	how, err := w.Runs.Stop(ctx, name, o)
	if err == nil && how.Forced && !o.Force {
		a.sayForced(name)
	}
	return how, err
}

func (a *app) sayForced(name string) {
	a.Say("%s: the guest did not stop in time and was forced; what it had not synced may be lost", name)
}
