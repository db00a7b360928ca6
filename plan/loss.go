package plan

import (
	"fmt"
	"slices"

	"microagent/plan/observed"
	"microagent/schema"
	"microagent/schema/diag"
	"microagent/schema/quantity"
	"microagent/schema/spec"
)

// allowLoss marks a change of a workspace whose root file system the user gives up if it can't be kept.
func (p *planner) allowLoss(c *Change) {
	if p.lossAllowed(c.Address) {
		c.Loss, c.Danger = true, DangerDataLoss
		c.Warning += warnNoRoom
	}
}

// lossAllowed says that --allow-data-loss names an object. It is asked only where something could be lost.
func (p *planner) lossAllowed(a Address) bool {
	if !slices.Contains(p.options.AllowDataLoss, a.String()) {
		return false
	}
	p.lossUsed[a.String()] = true
	return true
}

// checkLoss tells of what --allow-data-loss names and the plan can't lose.
func (p *planner) checkLoss() {
	for _, name := range p.options.AllowDataLoss {
		if !p.lossUsed[name] {
			p.warn(CodeNotAsked, diag.Pos{}, "leave it out", "--allow-data-loss=%s: nothing of that is lost by this plan", name)
		}
	}
}

// giveUpVolume plans to make a volume anew which can't become what is declared, where the user gives its bytes up by name: it
// would shrink, or its image is gone or another. A protected one is never given up.
func (p *planner) giveUpVolume(c *Change, disk string, v schema.Volume, have observed.Volume) bool {
	why := ""
	switch {
	case !p.mayGiveUp(disk, have):
		return false
	case have.Missing:
		why = "its image is gone"
	case have.Changed != "":
		why = have.Changed
	case v.Size < quantity.Size(have.Size) && !grownByHand(v, have):
		why = fmt.Sprintf("it would shrink from %s to %s", quantity.Size(have.Size), v.Size)
	default:
		return false
	}
	if !p.lossAllowed(c.Address) {
		return false
	}
	if holder, ours := p.world.Workspaces[have.Holder]; have.Holder != "" && (!ours || holder.Spec.Project != p.plan.Project || holder.Spec.Mode == spec.ModeTask) {
		p.fail(CodeHeld, v.Pos, "wait until it is given up, or end what holds it", "volume %s is held by %s", c.Address.Name, have.Holder)
		return true
	}
	c.Action, c.Reason, c.Danger = ActionReplace, ReasonRequested, DangerDataLoss
	c.Detail = "it is made anew and empty: " + why
	c.Warning = fmt.Sprintf("its %s of data are deleted, as --allow-data-loss says", quantity.Size(have.Size))
	c.Volume.Protected = v.Protected != nil && *v.Protected
	c.Volume.Holder, c.Loss = have.Holder, true
	p.forgetVolume(disk)
	return true
}

// mayGiveUp says that --allow-data-loss may name a volume.
func (p *planner) mayGiveUp(disk string, have observed.Volume) bool {
	return !have.Protected && p.moves.volumes[disk] == ""
}

// forgetVolume has the rest of the plan see the world without a volume.
func (p *planner) forgetVolume(disk string) {
	world := *p.world
	world.Volumes = make(map[string]observed.Volume, len(p.world.Volumes))
	for name, v := range p.world.Volumes {
		if name != disk {
			world.Volumes[name] = v
		}
	}
	p.world = &world
}
