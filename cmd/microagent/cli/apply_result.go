package cli

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"al.essio.dev/pkg/shellescape"

	"microagent/apply"
	"microagent/cmd/microagent/cli/view"
	"microagent/plan"
	"microagent/runtime/driver"
)

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
	case slices.ContainsFunc(res.Failed, func(f apply.Failure) bool { return apply.OutOfTime(f.Err) }):
		return &printedError{exits(ExitTimeout, res.Err())}
	case res.Changed():
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
func (a *app) planAgain(p *plan.Plan, file string) string {
	words := []string{"microagent", "plan"}
	if usual, err := filepath.Abs(ManifestName); err != nil || p.Manifest != usual {
		words = append(words, "-f", p.Manifest)
	}
	there := &app{Screen: a.Screen, flags: globalFlags{file: p.Manifest}}
	if own := there.projectInView(); own != "" && own != p.Project {
		words = append(words, "--project", p.Project)
	}
	return shellescape.QuoteCommand(append(words, "-o", file))
}

// summary is the last line for people.
func (a *app) summary(p *plan.Plan, res *apply.Result, saved bool) {
	for _, name := range res.GoesOn {
		a.Say("the task of %s goes on; stop it with: microagent halt %s", name, name)
	}
	for _, f := range res.Failed {
		if len(f.Did) > 0 {
			a.Say("done in part: %s %s, which was %s", f.Action, f.Address, joined(f.Did))
		}
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
			next = a.planAgain(p, a.command.Flags().Arg(0))
		}
		a.Say("%s: %s done, %d failed, %d not started; to go on: %s", p.Project, counting(len(res.Done), "change"),
			len(res.Failed), len(res.NotStarted), next)
	}
}

type failureRecord struct {
	Address  string   `json:"address"`
	Action   string   `json:"action"`
	Did      []string `json:"did,omitempty"`       // what of the change was done before it failed
	ExitCode *int     `json:"exit_code,omitempty"` // of the process in the guest
	TimedOut bool     `json:"timed_out,omitempty"`
	Memory   bool     `json:"out_of_memory,omitempty"` // the guest's kernel killed for want of it
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
	Unneeded    []string        `json:"unneeded,omitempty"` // changes that what they rest on did not ask for
	Interrupted bool            `json:"interrupted,omitempty"`
	Changes     []string        `json:"changes"`
	Failures    []failureRecord `json:"failures,omitempty"`
	Skipped     []skippedRecord `json:"skipped,omitempty"`
	Cut         []string        `json:"cut,omitempty"`     // the interrupt ended them
	GoesOn      []string        `json:"goes_on,omitempty"` // workspaces whose task is no longer waited for
	Outputs     []outputNote    `json:"outputs,omitempty"` // of which something is to be known
}

func (a *app) resultRecord(p *plan.Plan, res *apply.Result) applyRecord {
	r := applyRecord{Project: p.Project, Destroy: p.Destroy, Done: len(res.Done), Failed: len(res.Failed),
		NotStarted: len(res.NotStarted), Interrupted: res.Interrupted, Changes: []string{}, GoesOn: res.GoesOn}
	for _, d := range res.Done {
		r.Changes = append(r.Changes, d.String())
	}
	for _, of := range res.Unneeded {
		r.Unneeded = append(r.Unneeded, of.String())
	}
	for _, of := range slices.SortedFunc(maps.Keys(res.Notable), func(a, b plan.Address) int { return strings.Compare(a.String(), b.String()) }) {
		f := res.Notable[of]
		r.Outputs = append(r.Outputs, outputNote{of.String(), f.Unchanged, f.Older, view.OfLeftOut(f.LeftOut)})
	}
	for _, c := range res.Cut {
		r.Cut = append(r.Cut, c.Address.String())
	}
	for _, f := range res.Failed {
		rec := failureRecord{Address: f.Address.String(), Action: string(f.Action), Did: f.Did, report: a.describe(f.Err)}
		if ended, ok := errors.AsType[apply.ProcessError](f.Err); ok {
			rec.ExitCode, _ = ended.Ended()
		}
		if task, ok := errors.AsType[*apply.TaskError](f.Err); ok {
			rec.TimedOut, rec.Memory = task.TimedOut, task.OutOfMemory != ""
		}
		if service, ok := errors.AsType[*apply.ServiceError](f.Err); ok {
			rec.Memory = service.OutOfMemory != ""
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
