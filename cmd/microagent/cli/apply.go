package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"microagent/cmd/microagent/cli/view"

	"al.essio.dev/pkg/shellescape"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"microagent/apply"
	"microagent/apply/folder"
	"microagent/plan"
	"microagent/plan/planfile"
	"microagent/runtime/driver"
)

// applyFlags say how a plan is walked.
type applyFlags struct {
	yes      bool
	parallel int
	lockWait time.Duration
	saved    bool // the plan comes from a file
}

func (o *applyFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVarP(&o.yes, "yes", "y", false, "don't ask")
	f.IntVar(&o.parallel, "parallel", 0, "how many changes at once (default: twice the CPUs, ten at most)")
	f.DurationVar(&o.lockWait, "lock-timeout", 0, "how long to wait for another apply in the project")
}

func (a *app) applyCommand() *cobra.Command {
	var o applyFlags
	var p planFlags
	cmd := &cobra.Command{
		Use: "apply [PLAN]", Short: "make the world as the manifest says",
		Long: "Makes a plan, asks, and executes it; or executes PLAN, a file of plan -o, unless something it rests on has\n" +
			"moved since. A task is waited for and its outputs are brought to the host. A task that failed,\n" +
			"or that left no output where a required one is declared, runs again at the next apply. After a failure or\n" +
			"^C, running it again goes on from there. A volume is never deleted.",
		Example:     "  microagent apply\n  microagent apply --yes --json\n  microagent apply change.plan",
		Annotations: exitsWith(ExitOK, ExitFailed, ExitPartly, ExitInvalid, ExitRefused, ExitLocked, ExitInterrupted),
		RunE: does(func(ctx context.Context, args []string) error {
			return a.runStreamed("apply", func(s *stream) error {
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
	p.add(cmd.Flags())
	cmd.MarkFlagsMutuallyExclusive("pull", "offline")
	a.completeFlag(cmd, "rerun", workspaceNames)
	return cmd
}

// applyManifest makes a plan, asks, and executes it.
func (a *app) applyManifest(ctx context.Context, s *stream, p planFlags, o applyFlags) error {
	made, err := a.makePlan(ctx, p)
	if err != nil {
		return err
	}
	defer made.files.Close()
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
	return a.execute(ctx, s, made.plan, made.files, o)
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
	p, err := planfile.Load(path)
	if errors.Is(err, fs.ErrNotExist) {
		return usagef("microagent apply", "there is no file %s: apply takes a plan that plan -o saved, or nothing for the whole manifest", path)
	}
	if err != nil {
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
	o.saved = true
	return a.execute(ctx, s, p, files, o)
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
				Next: "apply without --offline, or use a file: oci-archive:FILE"}
		}
	}
	return nil
}

// execute walks a plan and tells how it went.
func (a *app) execute(ctx context.Context, s *stream, p *plan.Plan, files *folder.Folder, o applyFlags) error {
	w, err := a.open(true)
	if err != nil {
		return err
	}
	s.screen = a.Events()
	s.begin(p.Project, w.history)
	res, err := apply.Run(ctx, w.Set, p, files, apply.Options{Parallel: o.parallel, LockWait: o.lockWait, Events: s, Saved: o.saved})
	s.screen.Close()
	s.screen = nil
	if err != nil {
		return err
	}
	s.result = resultRecord(p, res)
	if !a.JSON {
		a.summary(p, res, o.saved)
	}
	return a.verdict(p, res)
}

// verdict turns a result into the command's error: each root cause was told before.
func (a *app) verdict(p *plan.Plan, res *apply.Result) error {
	for _, f := range res.Failed {
		err := f.Err
		if _, named := err.(*driver.Error); !named {
			err = &apply.ChangeError{Address: f.Address, Action: f.Action, Err: err}
		}
		a.printError(err)
	}
	switch {
	case res.Interrupted:
		return &printedError{errInterrupted}
	case len(res.Failed) == 0 && len(res.NotStarted) == 0:
		return nil
	case len(res.Done) > 0:
		return &printedError{exits(ExitPartly, res.Err())}
	}
	return &printedError{exits(worst(res.Failed), res.Err())}
}

// worst is the exit code of failures when nothing was done: that of their class when they agree.
func worst(list []apply.Failure) int {
	code := 0
	for _, f := range list {
		c := exitCode(f.Err)
		if code != 0 && c != code {
			return ExitFailed
		}
		code = c
	}
	if code == ExitOK || code == ExitTimeout {
		return ExitFailed
	}
	return code
}

// planAgain makes a saved plan anew: one that was begun has changed what it rests on.
func planAgain(p *plan.Plan, file string) string {
	words := []string{"microagent", "plan"}
	if usual, err := filepath.Abs(ManifestName); err != nil || p.Manifest != usual {
		words = append(words, "-f", p.Manifest)
	}
	return shellescape.QuoteCommand(append(words, "-o", file))
}

// summary is the last line for people.
func (a *app) summary(p *plan.Plan, res *apply.Result, saved bool) {
	for _, name := range res.GoesOn {
		a.Say("the task of %s goes on; stop it with: microagent halt %s", name, name)
	}
	for _, s := range res.Cut {
		a.Say("interrupted: %s %s", s.Action, s.Address)
	}
	for _, s := range res.NotStarted {
		because := ""
		if s.Because != (plan.Address{}) {
			because = ", which needs " + s.Because.String()
		}
		a.Say("not started: %s %s%s", s.Action, s.Address, because)
	}
	verb := "applied"
	if p.Destroy {
		verb = "destroyed"
	}
	switch n := len(res.Failed) + len(res.Cut) + len(res.NotStarted); {
	case n == 0 && !res.Interrupted:
		fmt.Fprintf(a.Out, "%s: %s, %s\n", p.Project, verb, counting(len(res.Done), "change"))
	default:
		next := a.commandAgain()
		if saved {
			next = planAgain(p, a.command.Flags().Arg(0))
		}
		a.Say("%s: %s done, %d failed, %d not started; to go on: %s", p.Project, counting(len(res.Done), "change"),
			len(res.Failed), len(res.NotStarted), next)
	}
}

type failureRecord struct {
	Address  string `json:"address"`
	Action   string `json:"action"`
	ExitCode *int   `json:"exit_code,omitempty"` // of the process in the guest
	TimedOut bool   `json:"timed_out,omitempty"`
	Memory   bool   `json:"out_of_memory,omitempty"` // the guest's kernel killed for want of it
	report
}

type skippedRecord struct {
	Address string `json:"address"`
	Action  string `json:"action"`
	Because string `json:"because,omitempty"`
}

// outputNote is what is to be known of an output that was brought out.
type outputNote struct {
	Address   string `json:"address"`
	Unchanged bool   `json:"unchanged,omitempty"` // the run changed nothing of it
	Older     int    `json:"older,omitempty"`     // files that the run did not touch
	view.LeftOut
}

type applyRecord struct {
	Project     string          `json:"project"`
	Destroy     bool            `json:"destroy,omitempty"`
	Done        int             `json:"done"`
	Failed      int             `json:"failed"`
	NotStarted  int             `json:"not_started"`
	Interrupted bool            `json:"interrupted,omitempty"`
	Changes     []string        `json:"changes"`
	Failures    []failureRecord `json:"failures,omitempty"`
	Skipped     []skippedRecord `json:"skipped,omitempty"`
	Cut         []string        `json:"cut,omitempty"`     // the interrupt ended them
	GoesOn      []string        `json:"goes_on,omitempty"` // workspaces whose task is no longer waited for
	Outputs     []outputNote    `json:"outputs,omitempty"` // of which something is to be known
}

func resultRecord(p *plan.Plan, res *apply.Result) applyRecord {
	r := applyRecord{Project: p.Project, Destroy: p.Destroy, Done: len(res.Done), Failed: len(res.Failed),
		NotStarted: len(res.NotStarted), Interrupted: res.Interrupted, Changes: []string{}, GoesOn: res.GoesOn}
	for _, d := range res.Done {
		r.Changes = append(r.Changes, d.String())
	}
	for _, of := range slices.SortedFunc(maps.Keys(res.Notable), func(a, b plan.Address) int { return strings.Compare(a.String(), b.String()) }) {
		f := res.Notable[of]
		r.Outputs = append(r.Outputs, outputNote{of.String(), f.Unchanged, f.Older, view.OfLeftOut(f.LeftOut)})
	}
	for _, c := range res.Cut {
		r.Cut = append(r.Cut, c.Address.String())
	}
	for _, f := range res.Failed {
		rec := failureRecord{Address: f.Address.String(), Action: string(f.Action), report: describe(f.Err)}
		if ended, ok := errors.AsType[apply.ProcessError](f.Err); ok {
			rec.ExitCode, _ = ended.Ended()
		}
		if task, ok := errors.AsType[*apply.TaskError](f.Err); ok {
			rec.TimedOut, rec.Memory = task.TimedOut, task.OutOfMemory
		}
		r.Failures = append(r.Failures, rec)
	}
	for _, s := range res.NotStarted {
		rec := skippedRecord{Address: s.Address.String(), Action: string(s.Action)}
		if s.Because != (plan.Address{}) {
			rec.Because = s.Because.String()
		}
		r.Skipped = append(r.Skipped, rec)
	}
	return r
}
