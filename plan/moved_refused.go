package plan

import (
	"maps"
	"slices"

	"microagent/plan/observed"
	"microagent/schema"
	"microagent/schema/diag"
	"microagent/schema/spec"
)

// refuseProject refuses to make the objects of another project this one's where this one has some of its own, or another
// manifest, which still exists, is applied to that one.
func (p *planner) refuseProject(old string, record observed.Project, pos diag.Pos) bool {
	volumes, workspaces, bundles := p.objectsOf(p.plan.Project)
	theirVolumes, theirWorkspaces, theirBundles := p.objectsOf(old)
	ours, theirs := len(volumes)+len(workspaces)+len(bundles), len(theirVolumes)+len(theirWorkspaces)+len(theirBundles)
	switch {
	case ours > 0 && theirs > 0 && p.world.Project.MovingFrom != old:
		p.fail(CodeBothThere, pos, "look which of the two has what you need, and leave the entry of moved out or give the other one up: microagent status --all",
			"project %s is to become %s, and both have workspaces, volumes or bundles", old, p.plan.Project)
	case record.Moved && !p.options.MoveHere:
		p.fail(CodeProjectMoved, pos, "take the project over with --move-here", "project %s was applied from %s, which still exists", old, record.Manifest)
	default:
		return false
	}
	return true
}

// refuseRename refuses to give a workspace a name where that would hide or end something.
func (p *planner) refuseRename(from, to string, have observed.Workspace, pos diag.Pos) bool {
	_, both := p.world.Workspaces[to]
	switch {
	case have.Broken.Why != "":
		p.refuseBroken("workspace "+from, have.Broken, "give it up, with its files outside volumes: microagent delete "+from, pos)
	case both:
		p.fail(CodeBothThere, pos, "look which of the two has what you need, and leave the entry of moved out or give the other one up: microagent list",
			"workspace %s is to become %s, and there is a workspace %s already", from, to, to)
	case have.Running && have.Spec.Mode == spec.ModeTask:
		p.fail(CodeHeld, pos, "wait for it: microagent wait "+from, "workspace %s is to become %s, and its task runs now", from, to)
	default:
		return false
	}
	return true
}

// refuseMove refuses a move of a volume that would hide or take something.
func (p *planner) refuseMove(from, to string, have observed.Volume, pos diag.Pos) bool {
	was, becomes := inManifest(p.plan.Project, from), inManifest(p.plan.Project, to)
	_, both := p.world.Volumes[to]
	holder, held := p.world.Workspaces[have.Holder]
	user := p.usedByOthers(from, have.Project)
	if held && holder.Spec.Project != p.plan.Project && holder.Spec.Project != have.Project {
		user = have.Holder
	}
	switch {
	case have.Broken.Why != "":
		p.refuseBroken("volume "+from, have.Broken, "make it a new record: microagent volume adopt "+from+projectFlag(have.Project), pos)
	case have.NoRecord:
		p.fail(CodeUnrecorded, pos, "take it over: microagent volume adopt "+from+" --project "+p.plan.Project,
			"there is a disk at the name of volume %s, and no record of it", from)
	case both:
		p.fail(CodeBothThere, pos, "look which of the two has what you need, and leave the entry of moved out or give the other one up: microagent volume list",
			"volume %s is to become %s, and there is a volume %s already", was, becomes, to)
	case have.Missing || have.Changed != "":
		return p.refuseDrifted(was, from, schema.Volume{Pos: pos}, have)
	case user != "":
		p.fail(CodeHeld, pos, "look at it: microagent status "+user,
			"volume %s is to become %s, and workspace %s, which is no part of the project, mounts it by its name", was, becomes, user)
	case held && holder.Running && holder.Spec.Mode == spec.ModeTask:
		p.fail(CodeHeld, pos, "wait for it: microagent wait "+have.Holder,
			"volume %s is to become %s, and the task of workspace %s writes it now", was, becomes, have.Holder)
	case have.Holder != "" && !held:
		p.fail(CodeHeld, pos, "wait until it is given up, or end what holds it", "volume %s is held by %s", was, have.Holder)
	default:
		return false
	}
	return true
}

// usedByOthers is a workspace outside of the project, and of the one that the volume is of, that mounts it; "" for none.
func (p *planner) usedByOthers(disk, owner string) string {
	for _, name := range slices.Sorted(maps.Keys(p.world.Workspaces)) {
		ws := p.world.Workspaces[name]
		if ws.Spec.Project != p.plan.Project && (ws.Spec.Project == "" || ws.Spec.Project != owner) &&
			slices.ContainsFunc(ws.Spec.Mounts, func(m spec.Mount) bool { return m.Kind == spec.MountVolume && m.Name == disk }) {
			return name
		}
	}
	return ""
}
