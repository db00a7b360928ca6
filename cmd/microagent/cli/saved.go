package cli

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"

	"github.com/spf13/cobra"

	"microagent/apply/refresh"
	"microagent/plan"
	"microagent/plan/planfile"
)

// loadPlan reads the file of a plan -o for command.
func loadPlan(command, path string) (*plan.Plan, error) {
	p, err := planfile.Load(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usagef("microagent "+command, "there is no file %s: %s takes a plan that plan -o saved", path, command)
	}
	return p, err
}

func (a *app) showCommand() *cobra.Command {
	var graph bool
	cmd := &cobra.Command{
		Use: "show PLAN", Short: "show a saved plan",
		Long: "Shows what plan -o saved in the file PLAN as plan showed it, with what forbids to apply it, and says whether\n" +
			"what it rests on has changed since. It writes nothing.",
		Example:     "  microagent plan -o change.plan\n  microagent show change.plan\n  microagent show change.plan --json",
		Annotations: exitsWith(ExitOK, ExitFailed),
		RunE: does(func(ctx context.Context, args []string) error {
			p, err := loadPlan("show", args[0])
			if err != nil {
				return err
			}
			if err := a.showPlan(p, graph); err != nil {
				return err
			}
			if !a.JSON && !graph {
				for _, d := range p.Refusals {
					if _, err := io.WriteString(a.Out, d.Text()); err != nil {
						return err
					}
				}
			}
			w, err := a.open(false)
			if err != nil {
				return err
			}
			records, err := refresh.Records(ctx, w.Set)
			if err != nil {
				return err
			}
			if moved := planfile.Stale(p, maps.Clone(records)); len(moved) > 0 {
				a.Say("since it was made, %s: apply refuses it now; next: %s", joined(moved), a.planAgain(p, args[0]))
			}
			return nil
		}),
	}
	cmd.Flags().BoolVar(&graph, "graph", false, "print the plan as a graph for dot")
	return cmd
}
