package plan

import (
	"fmt"
	"slices"

	"microagent/plan/observed"
	"microagent/schema/diag"
	"microagent/schema/spec"
)

// planTask decides whether s's task runs. stop says that another run is under way and has to be stopped before. The
// result is nil for a workspace that has no task. With still the runs that may come don't.
func (p *planner) planTask(s *workspaceState, still bool) (task *Change, stop bool) {
	if s.want.Mode != spec.ModeTask {
		return nil, false
	}
	c := &Change{Address: Address{KindTask, s.name}, Action: ActionNone, Pos: s.decl.Pos}
	fresh := s.have == nil || s.have.RootFSMissing || s.diff.effect == observed.EffectReplace
	runs, writes := p.writerRuns(s, still)
	if !fresh && writes == "" {
		if key, err := RunKey(s.want, s.have.ID, runs...); err == nil {
			c.RunKey = key
		}
	}
	for _, name := range p.writers[s.name] {
		c.Writers = append(c.Writers, p.want[name].Name)
	}
	switch {
	case s.want.Desired == spec.DesiredStopped:
		c.Detail = "declared as stopped"
	case s.have == nil:
		c.Action, c.Reason = ActionRun, ReasonNeverRun
	case fresh:
		c.Action, c.Reason, c.Detail = ActionRun, ReasonDependency, "its root file system is new"
	case p.rerun[s.name]:
		c.Action, c.Reason, c.Detail = ActionRun, ReasonRequested, "asked for by --rerun"
		return c, s.have.Running
	default:
		stop = p.compareRun(c, s)
		if c.Action == ActionRun && c.Reason == ReasonUnfinished && writes != "" && len(s.diff.reruns) == 0 {
			c.Reason, c.Detail = ReasonDependency, "task "+writes+" runs, and writes what it reads"
		}
		return c, stop
	}
	return c, false
}

// writerRuns are the ids of the runs that wrote what s's task uses; writes names one that is yet to run.
func (p *planner) writerRuns(s *workspaceState, still bool) (ids []string, writes string) {
	for _, name := range p.writers[s.name] {
		x := p.state[name]
		if x == nil || x.task == nil || x.have == nil || x.have.Run == nil || x.task.Action == ActionRun && !(still && len(x.task.If) > 0) {
			return nil, name
		}
		ids = append(ids, x.have.Run.ID)
	}
	return ids, ""
}

// compareRun compares the newest run with the one that is declared.
func (p *planner) compareRun(c *Change, s *workspaceState) (stop bool) {
	run := s.have.Run
	switch {
	case s.diff.becomesTask:
		c.Action, c.Reason, c.Detail = ActionRun, ReasonNeverRun, "it was no task before"
		return s.have.Running
	case run == nil:
		c.Action, c.Reason = ActionRun, ReasonNeverRun
	case c.RunKey == "" || run.Key != c.RunKey:
		c.Action, c.Reason = ActionRun, ReasonUnfinished
		c.Detail = "what it rests on changed at an earlier apply, and it did not run since"
		switch {
		case len(s.diff.reruns) > 0:
			c.Reason, c.Detail = fieldReason(&s.diff), whatChanged(&s.diff)
		case c.RunKey != "" && run.Key == "":
			c.Detail = "its last run was started by hand"
		}
		return s.have.Running
	case s.have.BacksOff:
		c.Action, c.Reason, c.Detail = ActionRun, ReasonFailed, "it failed and waits for its next try, which is now"
	case s.have.Running:
		c.Action, c.Reason, c.Detail = ActionWait, ReasonUnderWay, "this very run is under way"
	case !endedWell(run):
		c.Action, c.Reason, c.Detail = ActionRun, ReasonFailed, runStory(run)
	default:
		c.Action, c.Reason, c.Detail = p.missingOutputs(s)
	}
	return false
}

// whatChanged names the fields for whose sake a task runs again.
func whatChanged(d *difference) string {
	switch n := len(d.reruns); n {
	case 1:
		return d.reruns[0] + " changed"
	case 2:
		return d.reruns[0] + " and " + d.reruns[1] + " changed"
	default:
		return fmt.Sprintf("%s and %d other fields changed", d.reruns[0], n-1)
	}
}

func endedWell(run *observed.Run) bool {
	return run.Phase == spec.PhaseFinished && !run.Stopped && !run.TimedOut && run.ExitCode != nil && *run.ExitCode == 0
}

func runStory(run *observed.Run) string {
	switch {
	case run.Phase == spec.PhaseLost:
		return "the last run was lost: its supervisor was killed, or the host was restarted"
	case run.TimedOut:
		return "the last run was ended by its timeout"
	case run.Stopped:
		return "the last run was stopped before its end"
	case run.ExitCode != nil && *run.ExitCode != 0:
		return fmt.Sprintf("the last run ended with exit code %d", *run.ExitCode)
	}
	return "the last run failed" + afterColon(run.Error)
}

// missingOutputs makes a task that ended well run again when it left less than is declared now.
func (p *planner) missingOutputs(s *workspaceState) (Action, Reason, string) {
	for _, o := range s.want.Outputs {
		got, ok := s.have.Run.Collected[o.Name]
		switch {
		case !ok:
			return ActionRun, ReasonMissingOutput, "the last run did not bring out " + o.Name
		case got.From != "" && got.From != o.Path:
			return ActionRun, ReasonMissingOutput, fmt.Sprintf("output %s was taken from %s", o.Name, got.From)
		case outputPathChanged(s, o.Name):
			return ActionRun, ReasonMissingOutput, fmt.Sprintf("output %s is taken from another path", o.Name)
		case got.Err != "" && !o.Optional:
			return ActionRun, ReasonFailed, fmt.Sprintf("the last run left no %s: %s", o.Name, got.Err)
		}
	}
	return ActionNone, "", ""
}

func outputPathChanged(s *workspaceState, name string) bool {
	return slices.ContainsFunc(s.diff.fields, func(f FieldChange) bool { return f.Path == "outputs."+name+".path" })
}

// checkReruns complains about names that --rerun can't mean.
func (p *planner) checkReruns() {
	for _, name := range p.options.Rerun {
		s, ok := p.state[name]
		switch {
		case !ok:
			p.fail(CodeUnknownName, diag.Pos{}, "", "--rerun %s: there is no such workspace in the manifest", name)
		case s.want.Mode != spec.ModeTask:
			p.fail(CodeUnknownName, s.decl.Pos, "only tasks run again", "--rerun %s: workspace %s has no task", name, name)
		}
	}
}
