package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"microagent/plan/observed"
	"microagent/schema/spec"
)

const (
	warnReplaced = "files outside volumes are replaced"
	warnDeleted  = "files outside volumes go with it"
	warnStays    = "; its root file system stays until the next replacement or prune" // of a record that can't be understood
	warnNoRoom   = "; they are lost if there is no room to keep them"
)

// warnRestored says until when a workspace's files outside volumes come back. One that runs then is stopped for it.
func warnRestored(disk string, runs bool) string {
	if runs {
		return "; to bring them back, until the next replacement or prune: microagent halt " + disk + " && microagent restore " + disk
	}
	return "; to bring them back, until the next replacement or prune: microagent restore " + disk
}

// planWorkspace compares one declared workspace with what is there, and its task with its newest run.
func (p *planner) planWorkspace(name string) {
	decl := p.manifest.Workspaces[name]
	s := &workspaceState{name: name, decl: decl, want: p.want[name], renamed: p.renamed(name)}
	s.want.Outputs = p.specOutputs(name)
	for i := range s.want.Mounts {
		if m := &s.want.Mounts[i]; m.Kind == spec.MountBundle && p.pending[m.Name] {
			m.Source = ""
		}
	}
	p.state[name] = s
	p.bind("workspace", s.want.Name)
	have, exists := p.world.Workspaces[s.want.Name]
	switch {
	case exists && have.Spec.Project != p.manifest.Project:
		p.refuseForeign(KindWorkspace, s.want.Name, have.Spec.Project, decl.Pos,
			"choose another name, or delete it: microagent delete "+s.want.Name)
		return
	case exists && have.Broken.Why != "":
		p.refuseBroken("workspace "+s.want.Name, have.Broken, "give it up, with its files outside volumes: microagent delete "+s.want.Name, decl.Pos)
		return
	case exists && have.Spec.Image == "":
		p.fail(CodeRecordForm, decl.Pos, "use the microagent that made it, or delete it: microagent delete "+s.want.Name,
			"the record of workspace %s is in a form that can't be compared", s.want.Name)
		return
	}
	if exists {
		s.have = &have
	} else if name == "volume" {
		p.fail(CodeReserved, decl.Pos, "choose another name", "a workspace can't be called volume: cp takes volume:NAME:/path for a volume")
	}
	p.decide(s)
}

// compareAll compares what is wanted of s with what is there. With still the runs that may come don't.
func (p *planner) compareAll(s *workspaceState, still bool) (Change, *Change) {
	c := Change{Address: Address{KindWorkspace, s.name}, Action: ActionNone, Pos: s.decl.Pos}
	if s.have != nil {
		was := normalize(s.have.Spec)
		s.takes = p.takes(s)
		s.diff = compare(&was, &s.want, s.takes)
		c.Fields = s.diff.fields
	}
	task, stopForTask := p.planTask(s, still)
	switch {
	case s.have == nil:
		c.Action, c.Reason, c.Detail = ActionCreate, ReasonAbsent, createDetail(&s.want)
		c.Fields = asked(&s.want)
	case s.have.RootFSMissing:
		c.Action, c.Reason = ActionReplace, ReasonDrifted
		c.Detail = "its root file system is gone: a new one is made"
	case s.diff.effect == observed.EffectReplace:
		p.replace(&c, s)
	case s.want.Desired == spec.DesiredStopped:
		keepDown(&c, s)
	case s.want.Mode == spec.ModeTask:
		updateForTask(&c, s, stopForTask)
	default:
		keepUp(&c, s)
	}
	return c, task
}

func (p *planner) replace(c *Change, s *workspaceState) {
	c.Action, c.Reason = ActionReplace, fieldReason(&s.diff)
	c.Danger, c.Warning = DangerSetAside, warnReplaced
	p.allowLoss(c)
	c.Warning += warnRestored(s.want.Name, s.want.Desired != spec.DesiredStopped && s.want.Mode != spec.ModeTask)
	c.Detail = "its root file system is made anew"
	for _, f := range s.diff.fields {
		if f.Forces && f.Path == "disk" {
			c.Detail = "its root file system is made anew: a disk can't shrink in place"
		}
	}
	if s.have.Running {
		c.Detail += "; it is stopped meanwhile"
	}
}

// keepDown is for desired: stopped.
func keepDown(c *Change, s *workspaceState) {
	switch {
	case s.have.Running:
		c.Action, c.Reason, c.Detail = ActionStop, ReasonDesired, "declared as stopped"
		c.Danger, c.Warning = DangerDowntime, "a running guest is stopped"
	case s.diff.any():
		c.Action, c.Reason = ActionUpdate, fieldReason(&s.diff)
		c.Detail = "takes effect when it starts"
	}
}

// updateForTask is for the workspace of a task: the task's own change starts it.
func updateForTask(c *Change, s *workspaceState, stop bool) {
	switch {
	case stop:
		c.Action, c.Reason, c.Detail = ActionRestart, ReasonUnfinished, "a run that is not the declared one is under way"
		if s.diff.any() {
			c.Reason = fieldReason(&s.diff)
			c.Detail = "what is under way was started otherwise; its files stay"
		}
		c.Danger, c.Warning = DangerDowntime, "the run that is under way is stopped"
	case s.diff.any():
		c.Action, c.Reason = ActionUpdate, fieldReason(&s.diff)
		c.Detail = "its files stay"
		if len(s.diff.reruns) == 0 {
			c.Detail = "takes effect when its task runs the next time"
		}
		c.permit(s)
	}
}

// keepUp is for services and workspaces that idle.
func keepUp(c *Change, s *workspaceState) {
	d := s.drift()
	switch {
	case s.have.Running && (s.diff.stops() || s.have.Starting && (s.diff.grows() || s.diff.environs())):
		c.Action, c.Reason, c.Detail = ActionRestart, fieldReason(&s.diff), "its files stay"
		c.Danger, c.Warning = DangerDowntime, "a running guest is stopped and started"
	case s.have.BacksOff:
		c.Action, c.Reason, c.Detail = ActionStart, ReasonDrifted, "it ended by itself and waits for its next start, which is now"
	case len(d.dear) > 0:
		c.Action, c.Reason, c.Detail = ActionRestart, ReasonDrifted, strings.Join(d.dear, "; ")
		c.Danger, c.Warning = DangerDowntime, "a running guest is stopped and started"
	case s.have.Running && (s.diff.any() || d.any()):
		c.Action, c.Reason, c.Detail = ActionUpdate, fieldReason(&s.diff), "the running guest is not affected"
		if s.diff.publishes() {
			c.Publish = true
			c.Detail = "its ports change while it runs; connections of those that go are reset"
		}
		c.permit(s)
		c.changeGuest(s, d)
	case s.have.Starting:
		c.Action, c.Reason, c.Detail = ActionWait, ReasonUnderWay, "its start is under way"
	case s.have.Running && s.have.NotReady != "" && s.want.Ready != nil:
		c.Action, c.Reason, c.Detail = ActionWait, ReasonUnderWay, "it is not ready: "+s.have.NotReady
	case s.have.Running:
	case s.diff.any() && !s.diff.desiredOnly:
		c.Action, c.Reason, c.Detail = ActionStart, fieldReason(&s.diff), "it is not running now; its files stay"
		if s.renamed {
			c.Detail = "it is stopped to get its name; its files stay"
		}
	default:
		c.Action = ActionStart
		c.Reason, c.Detail = downReason(s)
	}
}

// permit makes an update one of what a running guest may reach, where that is.
func (c *Change) permit(s *workspaceState) {
	if !s.have.Running || !s.diff.permits() {
		return
	}
	c.Permit = true
	if c.Publish {
		c.Detail = "its ports and what it may reach change while it runs; connections of those that go are reset"
		return
	}
	c.Detail = "what it may reach changes while it runs; connections that are denied now end"
}

// changeGuest makes an update one of what the guest itself has, where that is not as it is to be as well.
func (c *Change) changeGuest(s *workspaceState, d drift) {
	c.GrowRoot, c.SetEnv, c.Mount = s.diff.grows(), s.diff.environs(), s.diff.remounts() || len(d.mounts) > 0
	c.Resize = s.diff.resizes() || len(d.size) > 0
	var parts []string
	if d.any() {
		c.Reason = ReasonDrifted
	}
	if len(d.mounts) > 0 {
		parts = append(parts, "it gets the mounts that it is to have, and has not: "+strings.Join(d.mounts, ", "))
	} else if c.Mount {
		parts = append(parts, "its mounts change")
	}
	parts = append(parts, d.size...)
	if s.diff.live("cpus") {
		parts = append(parts, "its CPUs change")
	}
	if s.diff.live("memory") {
		parts = append(parts, "its memory grows")
	}
	if c.GrowRoot {
		parts = append(parts, "its disk grows")
	}
	if c.SetEnv {
		parts = append(parts, "what begins in it from now on has the new environment")
	}
	if len(parts) == 0 {
		return
	}
	if c.Publish {
		parts = append(parts, "its ports change")
	}
	if c.Permit {
		parts = append(parts, "what it may reach changes")
	}
	c.Detail = "while it runs: " + strings.Join(parts, ", ")
}

// downReason says why a workspace that should run does not.
func downReason(s *workspaceState) (Reason, string) {
	run := s.have.Run
	what := "its guest"
	if s.want.Mode == spec.ModeService {
		what = "its service"
	}
	switch {
	case s.diff.any():
		return ReasonDesired, "declared as running again"
	case run == nil:
		return ReasonUnfinished, "it was made and never started"
	case s.renamed:
		return ReasonDesired, "it is stopped to get its name"
	case run.Stopped:
		return ReasonDesired, "it was stopped by hand and is declared as running"
	case run.Phase == spec.PhaseLost:
		return ReasonDrifted, "its supervisor is gone: killed, or the host was restarted"
	case run.Phase == spec.PhaseFailed:
		return ReasonDrifted, "its guest failed" + afterColon(run.Error)
	case run.ExitCode != nil:
		return ReasonDrifted, fmt.Sprintf("%s ended by itself with exit code %d", what, *run.ExitCode)
	}
	return ReasonDrifted, what + " ended by itself" + afterColon(run.Error)
}

func afterColon(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}

func fieldReason(d *difference) Reason {
	switch {
	case d.desiredOnly:
		return ReasonDesired
	case d.cause == causeContent:
		return ReasonDigestChanged
	case d.cause == causeMade:
		return ReasonDependency
	}
	return ReasonFieldChanged
}

func createDetail(s *observed.WorkspaceSpec) string {
	text := fmt.Sprintf("%s workspace of %s", s.Mode, s.Image)
	if algorithm, hex, ok := strings.Cut(s.ImageDigest, ":"); ok {
		text += " (" + algorithm + ":" + hex[:min(len(hex), 12)] + ")"
	}
	if s.Desired == spec.DesiredStopped {
		text += ", stopped"
	}
	return text
}

// removeUndeclared deals with what the project owns and the manifest does not have any more.
func (p *planner) removeUndeclared(reason Reason) {
	p.removeWorkspaces(reason, func(name string) bool {
		_, ok := p.manifest.Workspaces[name]
		return ok
	})
	for _, disk := range slices.Sorted(maps.Keys(p.world.Volumes)) {
		v := p.world.Volumes[disk]
		decl, ok := p.manifest.Volumes[inManifest(p.manifest.Project, disk)]
		if v.Project == p.manifest.Project && v.Project != "" && !v.NoRecord && (!ok || decl.External) {
			p.keepVolume(disk, reason)
		}
	}
	p.removeBundles(reason, func(name string) bool {
		_, ok := p.manifest.Bundles[name]
		return ok
	})
}

// removeWorkspaces deletes the project's workspaces, except those that stay.
func (p *planner) removeWorkspaces(reason Reason, stays func(name string) bool) {
	for _, disk := range slices.Sorted(maps.Keys(p.world.Workspaces)) {
		ws := p.world.Workspaces[disk]
		name := inManifest(p.plan.Project, disk)
		if ws.Spec.Project != p.plan.Project || p.plan.Project == "" || stays(name) {
			continue
		}
		p.bind("workspace", disk)
		c := Change{
			Address: Address{KindWorkspace, name}, Action: ActionDelete, Reason: reason,
			Danger: DangerSetAside, Warning: warnDeleted,
		}
		if ws.Running {
			c.Warning = "it is stopped, and " + warnDeleted
		}
		p.allowLoss(&c)
		if ws.Broken.Why != "" {
			c.Detail = "its record can't be understood: " + ws.Broken.Why
			c.Warning += warnStays
		} else {
			c.Warning += warnRestored(disk, false)
		}
		p.add(c)
	}
}

func (p *planner) removeBundles(reason Reason, stays func(name string) bool) {
	for _, disk := range slices.Sorted(maps.Keys(p.world.Bundles)) {
		name := inManifest(p.plan.Project, disk)
		if p.world.Bundles[disk].Project != p.plan.Project || p.plan.Project == "" || stays(name) {
			continue
		}
		p.bind("bundle", disk)
		p.add(Change{
			Address: Address{KindBundle, name}, Action: ActionDelete, Reason: reason,
			Detail: "its record only: the source is yours, and the cache is emptied by prune",
		})
	}
}
