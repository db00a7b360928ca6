package plan

import (
	"maps"
	"slices"

	"microagent/plan/observed"
	"microagent/schema"
	"microagent/schema/spec"
)

// specOutputs are the outputs that a workspace's task has to leave.
func (k *maker) specOutputs(workspace string) []spec.Output {
	if k.outputsOf == nil {
		k.outputsOf = map[string][]spec.Output{}
		for _, name := range slices.Sorted(maps.Keys(k.m.Outputs)) {
			o := k.m.Outputs[name]
			k.outputsOf[o.From] = append(k.outputsOf[o.From],
				spec.Output{Name: name, Path: o.Path, Limit: int64(o.Limit), Optional: o.Optional,
					MayBeUnchanged: o.Unchanged == "allow"})
		}
	}
	return k.outputsOf[workspace]
}

func (k *maker) outputs() {
	for _, name := range slices.Sorted(maps.Keys(k.m.Outputs)) {
		k.output(name, k.m.Outputs[name])
	}
}

func (k *maker) output(name string, o schema.Output) {
	seen, ok := k.w.Outputs[name]
	switch {
	case !ok:
		k.notObserved("target of output", name, o.Pos)
		return
	case seen.Err != "":
		k.fail(safety(CodeOutput, seen.Refused), o.Pos, seen.Next, "%s", about("output", name, seen.Err))
		return
	}
	s := k.state[o.From]
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
	if was, ok := k.w.Project.Outputs[seen.Path]; ok {
		c.Output.Ours = append(c.Output.Ours, was)
	}
	for _, digest := range []string{last.Digest, last.WithGit} {
		if collected && digest != "" && !slices.Contains(c.Output.Ours, digest) {
			c.Output.Ours = append(c.Output.Ours, digest)
		}
	}
	c.Output.Overwrite, c.Output.AllowGit = k.o.OverwriteOutputs, k.o.AllowGit
	taken := seen.Exists && !slices.Contains(c.Output.Ours, seen.Digest)
	if taken && c.Output.Overwrite {
		c.Warning = "what lies at " + o.To + " now was not put there by an apply, and is replaced"
	}
	switch {
	case s.want.Mode != spec.ModeTask:
		c.Detail = "its workspace has no task"
	case s.task != nil && s.task.Does():
		c.Action, c.Reason = ActionCollect, ReasonDependency
		if taken && !c.Output.Overwrite {
			k.fail(CodeOutputTaken, o.Pos, "move it away, or say --overwrite-outputs",
				"output %s would replace %s, which no apply put there as it is", name, o.To)
		}
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
	k.add(c)
}

// lastOutput is what the newest run left for an output.
func lastOutput(s *workspaceState, name string) (observed.Collected, bool) {
	if s.have == nil || s.have.Run == nil {
		return observed.Collected{}, false
	}
	got, ok := s.have.Run.Collected[name]
	return got, ok
}
