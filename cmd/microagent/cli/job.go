package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"microagent/apply"
	"microagent/cmd/microagent/cli/view"
	"microagent/runtime/driver"
	"microagent/schema/printable"
)

// execDetached begins a job and says its id.
func (a *app) execDetached(ctx context.Context, workspace string, spec driver.ExecSpec, flags []string) error {
	outputs, err := a.jobOutputs(flags)
	if err != nil {
		return badFlag("microagent exec", err)
	}
	w, ws, err := a.opened(ctx, true, "start job in workspace", workspace)
	if err != nil {
		return err
	}
	j, err := w.Jobs.StartJob(ctx, ws.Spec.Name, driver.JobSpec{Exec: spec, Outputs: outputs})
	if err != nil {
		return err
	}
	return a.Done(view.OfJob(j), "%s", j.ID)
}

// jobOutputs reads the values of --output of a job.
func (a *app) jobOutputs(flags []string) (list []driver.JobOutput, err error) {
	var outputs []outputFlag
	for _, text := range flags {
		o, err := parseOutput(text)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(outputs, func(other outputFlag) bool { return other.name == o.name }) {
			return nil, fmt.Errorf("--output %s is there twice", o.name)
		}
		outputs = append(outputs, o)
	}
	if err := a.placeOutputs(outputs, nil); err != nil {
		return nil, err
	}
	for _, o := range outputs {
		to, err := apply.JobPlace(o.host)
		if err != nil {
			return nil, err
		}
		list = append(list, driver.JobOutput{Name: o.name, From: o.guest, To: to, MayBeUnchanged: o.unchanged})
	}
	return list, nil
}

// listJobs shows the jobs of workspaces; broken is what is wrong with others.
func (a *app) listJobs(ctx context.Context, w *world, workspaces []driver.Workspace, broken error) error {
	var all []driver.Job
	for _, ws := range workspaces {
		list, err := w.Jobs.Jobs(ctx, ws.Spec.Name)
		if errors.Is(err, driver.ErrNotFound) {
			continue // it was deleted meanwhile
		}
		all, broken = append(all, list...), errors.Join(broken, err)
	}
	if a.JSON {
		return errors.Join(a.PrintJSON(view.OfJobs(all)), broken)
	}
	var rows [][]string
	for _, j := range all {
		rows = append(rows, []string{j.ID, j.Workspace, jobState(j), j.Started.UTC().Format(time.RFC3339), commandLine(j.Argv)})
	}
	return errors.Join(a.Table([]string{"JOB", "WORKSPACE", "STATE", "STARTED", "COMMAND"}, rows), broken)
}

// jobState is a job's state in a word, with the exit code where there is one.
func jobState(j driver.Job) string {
	if j.ExitCode != nil {
		return fmt.Sprintf("%s(%d)", j.State, *j.ExitCode)
	}
	return string(j.State)
}

// commandLine is a command in few words.
func commandLine(argv []string) string {
	const most = 60
	line := strings.Join(argv, " ")
	return printable.Cut(line, most)
}

// waitJob waits for a job, brings its outputs out and gives its exit code.
func (a *app) waitJob(ctx context.Context, workspace, id string, timeout time.Duration, how apply.Writing) error {
	const op = "wait for job"
	w, ws, err := a.opened(ctx, false, op, workspace)
	if err != nil {
		return guestCode(0, err)
	}
	waiting := ctx
	if timeout > 0 {
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	j, err := w.Jobs.WaitJob(waiting, ws.Spec.Name, id)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = &driver.Error{Class: driver.ErrTimeout, Op: op, Object: id, Err: fmt.Errorf("it still runs after %s", timeout),
			Next: "to end it: microagent halt --job " + id + " " + ws.Spec.Name}
	}
	if ctx.Err() != nil {
		a.Say("job %s goes on; to end it: microagent halt --job %s %s", id, id, ws.Spec.Name)
	}
	if err != nil {
		return guestCode(0, err)
	}
	var written []driver.Fetched
	unwritten := a.checkJobPlaces(j)
	if len(unwritten) == 0 {
		written, unwritten = apply.BringOut(ctx, w.Set, j, how)
	}
	for _, f := range written {
		if !slices.Contains(j.Taken, f.Name) {
			j.Taken = append(j.Taken, f.Name)
		}
	}
	if j.State == driver.JobStopped && j.Error != "" {
		a.Say("job %s of %s: %s", j.ID, j.Workspace, j.Error)
	}
	if why := driver.OutOfMemory(printable.Line(j.OutOfMemory), ws.Spec.Memory); why != "" {
		a.Say("%s", why)
	}
	if a.JSON {
		if err := a.PrintJSON(view.OfJob(j)); err != nil {
			return err
		}
	}
	return a.reportOutputs(jobEnd(j), written, unwritten)
}

// checkJobPlaces looks at the places of a job's outputs as the manifest in view is now.
func (a *app) checkJobPlaces(j driver.Job) []error {
	var places []outputFlag
	for _, o := range j.Outputs {
		places = append(places, outputFlag{name: o.Name, host: o.To})
	}
	if err := a.placeOutputs(places, nil); err != nil {
		return []error{err}
	}
	return nil
}

// jobEnd is the exit code of a job that ended.
func jobEnd(j driver.Job) error {
	fail := func(class error, why string) error {
		return guestCode(0, &driver.Error{Class: class, Op: "run job", Object: j.ID, Err: errors.New(why), Next: "microagent logs --job " + j.ID + " " + j.Workspace})
	}
	switch {
	case j.State == driver.JobLost, j.ExitCode == nil:
		return fail(driver.ErrGuest, "it is "+string(j.State)+": "+printable.Line(j.Error))
	case j.TimedOut:
		return fail(driver.ErrTimeout, fmt.Sprintf("the command ran longer than %s", j.Timeout))
	}
	return guestCode(*j.ExitCode, nil)
}

// haltJob stops a job.
func (a *app) haltJob(ctx context.Context, workspace, id string, o driver.StopOptions) error {
	w, ws, err := a.opened(ctx, true, "stop job", workspace)
	if err != nil {
		return err
	}
	j, err := w.Jobs.StopJob(ctx, ws.Spec.Name, id, o)
	if err != nil {
		return err
	}
	return a.Said(view.OfJob(j), "Job %s of %q is %s", j.ID, ws.Spec.Name, jobState(j))
}

// jobFlag adds --job, which Tab completes.
func (a *app) jobFlag(cmd *cobra.Command, to *string, usage string) {
	idVar(cmd.Flags(), to, "job", usage)
	err := cmd.RegisterFlagCompletionFunc("job", func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		return a.complete(cmd.Context(), a.jobIDs(args), typed, nil), cobra.ShellCompDirectiveNoFileComp
	})
	if err != nil {
		panic(err) // it was added above
	}
}

// jobIDs lists the ids of the jobs of the workspace that is named already, or of all.
func (a *app) jobIDs(named []string) lister {
	return func(ctx context.Context, w *world) (ids []string) {
		list, _ := w.Workspaces.List(ctx)
		for _, ws := range list {
			if len(named) > 0 && !slices.Contains(a.candidates(named[0]), ws.Spec.Name) {
				continue
			}
			jobs, _ := w.Jobs.Jobs(ctx, ws.Spec.Name)
			for _, j := range jobs {
				ids = append(ids, j.ID)
			}
		}
		return ids
	}
}
