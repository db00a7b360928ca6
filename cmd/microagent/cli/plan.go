package cli

import (
	"context"
	"path/filepath"
	"strings"

	"al.essio.dev/pkg/shellescape"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"microagent/apply/folder"
	"microagent/apply/refresh"
	"microagent/plan"
	"microagent/plan/planfile"
	"microagent/schema"
	"microagent/schema/diag"
)

// planFlags are those that shape a plan; apply has them as well.
type planFlags struct {
	allow    []string
	rerun    []string
	targets  []string
	over     bool
	git      bool
	moveHere bool
	pull     bool
	offline  bool
	network  networkFlags
	loss     lossFlag
	drafts   bool // no flag: disks of bundles may be made while their sources are read, as what is planned is applied
}

func (o *planFlags) add(f *pflag.FlagSet) {
	f.StringArrayVar(&o.allow, "allow-path", nil, "let the manifest name paths in `DIR` as well")
	f.BoolVar(&o.over, "overwrite-outputs", false, "let outputs replace files that no apply put there")
	allowGit(f, &o.git)
	f.StringArrayVar(&o.rerun, "rerun", nil, "run the task of workspace `NAME` again")
	f.StringArrayVar(&o.targets, "target", nil, "plan for `NAME` alone, a workspace or an address such as volume/data, and what it rests on")
	f.BoolVar(&o.moveHere, "move-here", false, "take the project over from the manifest it was applied from")
	f.BoolVar(&o.pull, "pull", false, "ask registries what their tags stand for now")
	f.BoolVar(&o.offline, "offline", false, "ask no registry")
	o.loss.add(f, "workspace/NAME, or volume/NAME, which is made anew and empty")
	o.network.add(f, "grant what the manifest asks for of private networks and of this host")
}

// planned is a plan with what it takes to apply it.
type planned struct {
	plan  *plan.Plan
	world *world
	files *folder.Folder
}

// makePlan computes the plan of the manifest in hand, also one that is refused. It writes nothing.
func (a *app) makePlan(ctx context.Context, o planFlags) (*planned, error) {
	if err := o.network.parse(); err != nil {
		return nil, usagef(a.command.CommandPath(), "%w", err)
	}
	if err := o.loss.check(a.command.CommandPath(), "workspace", "volume"); err != nil {
		return nil, err
	}
	m, s, err := a.load(o.allow)
	if err != nil {
		return nil, err
	}
	files, err := s.folder(o.allow)
	if err != nil {
		return nil, err
	}
	w, err := a.open(false)
	if err != nil {
		files.Close()
		return nil, err
	}
	p, err := a.planOf(ctx, w, m, s, files, o)
	if err != nil {
		files.Close()
		return nil, err
	}
	return &planned{plan: p, world: w, files: files}, nil
}

func (a *app) planOf(ctx context.Context, w *world, m *schema.Manifest, s source, files *folder.Folder, o planFlags) (*plan.Plan, error) {
	seen, err := refresh.World(ctx, w.Set, m, files,
		refresh.Options{Manifest: s.path, Pull: o.pull, Offline: o.offline, Drafts: o.drafts, Normal: normalReference})
	if err != nil {
		return nil, err
	}
	allow, err := absolute(o.allow)
	if err != nil {
		return nil, err
	}
	p, _ := plan.Make(m, seen, plan.Options{Tool: Version, ManifestPath: s.path, ProjectGiven: a.flags.project != "", AllowPaths: allow, MoveHere: o.moveHere, Rerun: o.rerun, Targets: o.targets,
		OverwriteOutputs: o.over, AllowDataLoss: o.loss, AllowGit: o.git, Net: o.network.net, Grants: o.network.grants})
	for i := range p.Refusals {
		if d := &p.Refusals[i]; d.Code == plan.CodeNotGranted {
			d.Next = strings.Replace(d.Next, plan.GrantBy, a.commandInHand(), 1)
		}
	}
	return p, nil
}

// refusals is the error of a plan that must not be applied.
func refusals(p *plan.Plan) error {
	if len(p.Refusals) == 0 {
		return nil
	}
	code := ExitFailed
	if p.Refused() {
		code = ExitRefused
	}
	var list diag.List
	for _, d := range p.Refusals {
		list.Add(d)
	}
	return &invalidError{list: &list, code: code}
}

func absolute(dirs []string) ([]string, error) {
	var list []string
	for _, d := range dirs {
		abs, err := filepath.Abs(d)
		if err != nil {
			return nil, err
		}
		list = append(list, abs)
	}
	return list, nil
}

func (a *app) planCommand() *cobra.Command {
	var o struct {
		planFlags
		out      string
		detailed bool
		graph    bool
	}
	cmd := &cobra.Command{
		Use: "plan", Short: "show what apply would do",
		Long: "Compares the manifest with what exists and shows what apply would do, why, and what it would cost. It\n" +
			"writes nothing but the file of -o, pulls nothing, and works on a read-only state directory. The values of\n" +
			"a workspace's environment variables are never shown; the file of -o has them, and only you can read it.",
		Example:     "  microagent plan\n  microagent plan -o change.plan && microagent apply change.plan\n  microagent plan --detailed-exitcode",
		Annotations: exitsWith(ExitOK, ExitFailed, ExitChanges, ExitInvalid, ExitRefused),
		RunE: does(func(ctx context.Context, _ []string) error {
			p, err := a.makePlan(ctx, o.planFlags)
			if err != nil {
				return err
			}
			defer p.files.Close()
			if err := a.showPlan(p.plan, o.graph); err != nil {
				return err
			}
			if o.out != "" {
				if err := planfile.Save(o.out, p.plan); err != nil {
					return err
				}
				file := shellescape.Quote(o.out)
				if len(p.plan.Refusals) > 0 {
					a.Say("saved; show it with: microagent show %s", file)
				} else {
					a.Say("saved; apply it with: microagent apply %s", file)
				}
			}
			if err := refusals(p.plan); err != nil {
				return err
			}
			if o.detailed && !p.plan.Empty() {
				return exits(ExitChanges, nil)
			}
			return nil
		}),
	}
	f := cmd.Flags()
	o.add(f)
	cmd.MarkFlagsMutuallyExclusive("pull", "offline")
	a.completeFlag(cmd, "rerun", workspaceNames)
	a.completeFlag(cmd, "target", workspaceNames)
	f.StringVarP(&o.out, "out", "o", "", "save the plan in `FILE`")
	f.BoolVar(&o.detailed, "detailed-exitcode", false, "exit with 2 when there is something to do")
	f.BoolVar(&o.graph, "graph", false, "print the plan as a graph for dot")
	return cmd
}
