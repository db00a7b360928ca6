package cli

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"microagent/apply"
	"microagent/apply/folder"
	"microagent/plan"
	"microagent/runtime/driver"
)

// applyFlags say how a plan is walked.
type applyFlags struct {
	yes      bool
	parallel int
	fresh    bool
	lockWait time.Duration
	goOn     bool // past failures
	wait     waitFlags
	noWait   bool
	saved    bool // the plan comes from a file
}

func (o *applyFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVarP(&o.yes, "yes", "y", false, "don't ask")
	f.BoolVar(&o.fresh, "boot", false, bootUsage+" in what this starts")
	wholeVar(f, &o.parallel, "parallel", 0, 0, "how many changes at once (default: twice the CPUs, ten at most)")
	spanVar(f, &o.lockWait, "lock-timeout", "how long to wait for another apply in the project")
	o.wait.add(f)
	f.BoolVar(&o.noWait, "no-wait", false, "don't wait until what has a ready is so; tasks are waited for")
}

func (a *app) applyCommand() *cobra.Command {
	var o applyFlags
	var p planFlags
	cmd := &cobra.Command{
		Use: "apply [PLAN]", Short: "make the world as the manifest says",
		Long: "Makes a plan, asks, and executes it; or executes PLAN, a file of plan -o, unless something it rests on has\n" +
			"moved since. A workspace is waited for until it is ready, as its ready says, and a task to its end, whose\n" +
			"outputs are brought to the host. A task that failed, or that left no output where a required one is\n" +
			"declared, runs again at the next apply. After a failure nothing new is started, but with --keep-going\n" +
			"what does not rest on what failed. After a failure or ^C, running it again goes on from there. A volume\n" +
			"loses its data only where --allow-data-loss names it.",
		Example:     "  microagent apply\n  microagent apply --yes --json\n  microagent apply change.plan",
		Annotations: exitsWith(ExitOK, ExitFailed, ExitPartly, ExitInvalid, ExitRefused, ExitLocked, ExitTimeout, ExitInterrupted),
		RunE: does(func(ctx context.Context, args []string) error {
			return a.runStreamed(ctx, "apply", func(ctx context.Context, s *stream) error {
				if len(args) == 1 {
					if err := a.refuseShapingFlags(args[0]); err != nil {
						return err
					}
					return a.applySaved(ctx, s, args[0], o)
				}
				return a.retryStale(func() error { return a.applyManifest(ctx, s, p, o) })
			})
		}),
	}
	o.add(cmd)
	cmd.Flags().BoolVar(&o.goOn, "keep-going", false, "after a failure, go on with what does not rest on it")
	p.add(cmd.Flags())
	cmd.MarkFlagsMutuallyExclusive("pull", "offline")
	cmd.MarkFlagsMutuallyExclusive("no-wait", "wait-timeout")
	a.completeFlag(cmd, "rerun", workspaceNames)
	a.completeFlag(cmd, "target", workspaceNames)
	return cmd
}

// applyManifest makes a plan, asks, and executes it.
func (a *app) applyManifest(ctx context.Context, s *stream, p planFlags, o applyFlags) error {
	p.drafts = len(p.targets) == 0 // what is not asked for needs no disk
	made, err := a.makePlan(ctx, p)
	if err != nil {
		return err
	}
	defer made.files.Close()
	defer made.world.Disks.DropDrafts()
	if err := a.refuse(s, made.plan, o.yes); err != nil {
		return err
	}
	if made.plan.Empty() {
		if err := apply.Settled(ctx, made.world.Set, made.plan.Project, o.lockWait); err != nil {
			return err
		}
		return s.reportNothing(made.plan)
	}
	if err := needsRegistry(made.plan); p.offline && err != nil {
		return err
	}
	if !o.yes {
		if err := a.ask(made.plan); err != nil {
			return err
		}
		if err := a.Confirm(ctx, "apply project", made.plan.Project, "Do it?", a.commandAgain()); err != nil {
			return err
		}
	}
	if err := a.prepare(made.world); err != nil {
		return err
	}
	return a.execute(ctx, s, made.world, made.plan, made.files, o)
}

// refuse is the error of a plan that must not be applied. What else the plan says is told to programs, and to people who
// have not seen it.
func (a *app) refuse(s *stream, p *plan.Plan, shown bool) error {
	err := refusals(p)
	if err == nil {
		return nil
	}
	if a.JSON {
		s.begin(p.Project, nil)
		apply.Announce(s, p)
	} else if !shown {
		if err := a.ask(p); err != nil {
			return err
		}
	}
	return err
}

// retryStale calls once again when the plan that it made had gone stale before it was begun: behind a question or a lock.
func (a *app) retryStale(once func() error) error {
	const most = 3
	var stale *apply.StaleError
	err := once()
	for n := 1; n < most && errors.As(err, &stale); n++ {
		a.Say("what the plan rests on changed meanwhile: planning again")
		err = once()
	}
	return err
}

// applySaved executes a plan that was saved. It never asks: making the plan was the question.
func (a *app) applySaved(ctx context.Context, s *stream, path string, o applyFlags) error {
	p, err := loadPlan("apply", path)
	if err != nil {
		return err
	}
	if err := a.refuse(s, p, false); err != nil {
		return err
	}
	if p.Empty() {
		return s.reportNothing(p)
	}
	files, err := folder.Open(filepath.Dir(p.Manifest), p.AllowPaths)
	if err != nil {
		return err
	}
	defer files.Close()
	w, err := a.open(true)
	if err != nil {
		return err
	}
	defer w.Disks.DropDrafts()
	o.saved = true
	return a.execute(ctx, s, w, p, files, o)
}

// refuseShapingFlags refuses a flag that shapes a plan, beside the file of one that is made already.
func (a *app) refuseShapingFlags(file string) error {
	var shapes pflag.FlagSet
	(&planFlags{}).add(&shapes)
	var given []string
	a.command.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Changed && (shapes.Lookup(f.Name) != nil || f.Name == "file" || f.Name == "project") {
			given = append(given, "--"+f.Name)
		}
	})
	if len(given) == 0 {
		return nil
	}
	return usagef("microagent apply", "%s is a plan that is made already, and %s would change it: give that to plan -o", file, joined(given))
}

// needsRegistry names the first image that an apply would have to pull.
func needsRegistry(p *plan.Plan) error {
	for _, c := range p.Changes {
		if c.Action == plan.ActionPull && ofRegistry(c.Image.Ref) {
			return &driver.Error{Class: driver.ErrUnavailable, Op: "pull image", Object: c.Image.Ref,
				Err:  errors.New("it is not in the store, and --offline asks no registry"),
				Next: "leave --offline out, or use a file: oci-archive:FILE"}
		}
	}
	return nil
}

// execute walks a plan and tells how it went.
func (a *app) execute(ctx context.Context, s *stream, w *world, p *plan.Plan, files *folder.Folder, o applyFlags) error {
	s.screen = a.Events(s.unread)
	s.begin(p.Project, w.history)
	res, err := apply.Run(ctx, w.Set, p, files, apply.Options{Parallel: o.parallel, LockWait: o.lockWait, Events: s, Saved: o.saved,
		KeepGoing: o.goOn, WaitTimeout: o.wait.timeout, NoWait: o.noWait, Fresh: o.fresh})
	s.screen.Close()
	s.screen = nil
	if err != nil {
		return err
	}
	s.result = a.resultRecord(p, res)
	if !a.JSON {
		a.summary(p, res, o.saved)
	}
	return a.verdict(p, res)
}
