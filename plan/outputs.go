package plan

import (
	"maps"
	"slices"

	"microagent/plan/observed"
	"microagent/schema"
	"microagent/schema/spec"
)

// specOutputs are the outputs that a workspace's task has to leave.
func (p *planner) specOutputs(workspace string) []spec.Output {
	if p.outputsOf == nil {
		p.outputsOf = map[string][]spec.Output{}
		for _, name := range slices.Sorted(maps.Keys(p.manifest.Outputs)) {
			o := p.manifest.Outputs[name]
			p.outputsOf[o.From] = append(p.outputsOf[o.From],
				spec.Output{Name: name, Path: o.Path, Limit: int64(o.Limit), Optional: o.Optional,
					MayBeUnchanged: o.Unchanged == "allow"})
		}
	}
	return p.outputsOf[workspace]
}

// planOutputsOf plans the outputs of a workspace, and the bundles that are made of them.
func (p *planner) planOutputsOf(workspace string) {
	for _, o := range p.specOutputs(workspace) {
		p.look(KindOutput, o.Name, func() { p.planOutput(o.Name, p.manifest.Outputs[o.Name]) })
	}
	for _, name := range p.madeOf(workspace) {
		p.look(KindBundle, name, func() { p.planMade(name) })
	}
}

// madeOf are the bundles that are made of a workspace's outputs.
func (p *planner) madeOf(workspace string) []string {
	if p.bundlesOf == nil {
		p.bundlesOf = map[string][]string{}
		for _, name := range slices.Sorted(maps.Keys(p.made)) {
			from := p.manifest.Outputs[p.made[name]].From
			p.bundlesOf[from] = append(p.bundlesOf[from], name)
		}
	}
	return p.bundlesOf[workspace]
}

func (p *planner) planOutput(name string, o schema.Output) {
	seen, ok := p.world.Outputs[name]
	switch {
	case !ok:
		p.failNotObserved("target of output", name, o.Pos)
		return
	case seen.Err != "":
		p.fail(safety(CodeOutput, seen.Refused), o.Pos, seen.Next, "%s", withName("output", name, seen.Err))
		return
	}
	s := p.state[o.From]
	if s == nil {
		return
	}
	c := Change{
		Address: Address{KindOutput, name}, Action: ActionNone, Pos: o.Pos,
		Output: &OutputObject{
			Name: name, Workspace: s.want.Name, Path: o.Path, To: o.To, Optional: o.Optional, Limit: int64(o.Limit),
		},
	}
	last, collected := lastOutput(s, name)
	if was, ok := p.world.Project.Outputs[seen.Path]; ok {
		c.Output.Ours = append(c.Output.Ours, was)
	}
	for _, digest := range []string{last.Digest, last.WithGit} {
		if collected && digest != "" && !slices.Contains(c.Output.Ours, digest) {
			c.Output.Ours = append(c.Output.Ours, digest)
		}
	}
	c.Output.Overwrite, c.Output.AllowGit = p.options.OverwriteOutputs, p.options.AllowGit
	taken := seen.Exists && !slices.Contains(c.Output.Ours, seen.Digest)
	if taken && c.Output.Overwrite {
		c.Warning = "what lies at " + o.To + " now was not put there by an apply, and is replaced"
	}
	runs := s.task != nil && s.task.Does()
	if runs && taken && !c.Output.Overwrite {
		p.fail(CodeOutputTaken, o.Pos, "move it away, or say --overwrite-outputs",
			"output %s would replace %s, which no apply put there as it is", name, o.To)
	}
	switch {
	case s.want.Mode != spec.ModeTask:
		c.Detail = "its workspace has no task"
	case runs && len(s.task.If) == 0:
		c.Action, c.Reason = ActionCollect, ReasonDependency
	case !collected || last.Err != "" || s.want.Desired == spec.DesiredStopped:
		c.Detail = "nothing to bring out"
	case !seen.Exists:
		c.Action, c.Reason, c.Detail = ActionCollect, ReasonMissingOutput, o.To+" is missing on the host"
	case seen.Digest == last.WithGit, seen.Digest == last.Digest && (last.WithGit == "" || !c.Output.AllowGit):
	case seen.Digest == last.Digest:
		c.Action, c.Reason, c.Detail = ActionCollect, ReasonMissingOutput, o.To+" is there without its git folders"
	case taken && !c.Output.Overwrite:
		c.Detail = o.To + " was changed on the host and is left alone; --overwrite-outputs brings the run's again"
	case taken:
		c.Action, c.Reason, c.Detail = ActionCollect, ReasonDrifted, o.To+" is not what the last run left"
	default:
		c.Action, c.Reason, c.Detail = ActionCollect, ReasonUnfinished, o.To+" is what an earlier run left"
	}
	planned := p.add(c)
	if runs && !c.Does() {
		planned.Action, planned.Reason, planned.Detail = ActionCollect, ReasonDependency, ""
		p.onlyIf(planned, s.task.If)
	}
}

// lastOutput is what the newest run left for an output.
func lastOutput(s *workspaceState, name string) (observed.Collected, bool) {
	if s.have == nil || s.have.Run == nil {
		return observed.Collected{}, false
	}
	got, ok := s.have.Run.Collected[name]
	return got, ok
}
