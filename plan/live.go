package plan

import (
	"slices"
	"strings"

	"microagent/plan/observed"
	"microagent/schema/spec"
)

// takes is what a guest that runs takes of what is wanted, without a restart.
type takes struct {
	mounts       bool
	cpus, memory taken
}

// taken says whether something changes while a guest runs, and why it does not where there is more to say than that.
type taken struct {
	live bool
	why  string
}

func (p *planner) takes(s *workspaceState) takes {
	cpus, memory := s.resizes()
	return takes{p.plugs(s), cpus, memory}
}

// resizes says whether the guest of s takes the CPUs and the memory that are wanted. A task has them in its next run, and what is
// stopped for something else when it starts.
func (s *workspaceState) resizes() (cpus, memory taken) {
	if s.have == nil || !s.have.Running || s.renamed || s.want.Mode == spec.ModeTask || s.have.Spec.Mode != s.want.Mode || s.want.Desired == spec.DesiredStopped {
		return cpus, memory
	}
	why := "an older microagent runs it, or its guest reboots"
	if s.have.Starting {
		why = "it is starting"
	}
	if live := s.live(); live != nil && live.VM != nil {
		cpus.why, memory.why = live.VM.CPUsStay(s.want.CPUs), live.VM.MemoryStays(s.want.Memory)
	} else {
		cpus.why, memory.why = why, why
	}
	cpus.live, memory.live = cpus.why == "", memory.why == ""
	return cpus, memory
}

// plugs says whether what a running guest has mounted can become what is wanted without a restart. A task's mounts are part of its
// run key; what is in a bundle is what a service was started from.
func (p *planner) plugs(s *workspaceState) bool {
	live := s.live()
	if live == nil || s.renamed || s.want.Mode == spec.ModeTask || s.have.Spec.Mode != s.want.Mode {
		return false
	}
	for _, m := range s.want.Mounts {
		if m.Kind == spec.MountBundle && !slices.Contains(s.have.Spec.Mounts, m) {
			return false
		}
	}
	gone, come := remounted(live.Mounts, s.want.Mounts)
	for _, m := range slices.Concat(gone, come) {
		if m.Kind == spec.MountBundle || p.madeAnew(m) || below(live.Mounts, m.Path) || below(s.want.Mounts, m.Path) {
			return false
		}
	}
	return len(come) <= live.Room+len(gone) && !slices.ContainsFunc(gone, func(m spec.Mount) bool { return slices.Contains(live.Fixed, m.Path) })
}

// remounted gives the mounts that go and those that come where a guest has some and others are wanted; what is the same is
// in neither.
func remounted(have, want []spec.Mount) (gone, come []spec.Mount) {
	eachPair(have, want, func(m spec.Mount) string { return m.Path }, func(before, after *spec.Mount) {
		if before != nil && after != nil && attachedAs(before, after) {
			return
		}
		if before != nil {
			gone = append(gone, *before)
		}
		if after != nil {
			come = append(come, *after)
		}
	})
	return gone, come
}

// attachedAs says whether a mount as it is, of which a driver says with what, is the one that is wanted. Who owns it is asked once,
// when it is new.
func attachedAs(is, want *spec.Mount) bool {
	if is.Kind != want.Kind || is.Name != want.Name {
		return false
	}
	if is.Kind == spec.MountBundle { // of which the driver knows the key of a disk
		return true
	}
	return is.ReadOnly == want.ReadOnly && is.Source == want.Source && (is.DiskID == want.DiskID || is.DiskID == "" || want.DiskID == "")
}

// below says that something is mounted below a folder.
func below(mounts []spec.Mount, dir string) bool {
	return slices.ContainsFunc(mounts, func(m spec.Mount) bool { return strings.HasPrefix(m.Path, strings.TrimSuffix(dir, "/")+"/") })
}

// madeAnew says that a mount is of a volume that gets another name, or is made anew: its holder is stopped for that.
func (p *planner) madeAnew(m spec.Mount) bool {
	return m.Kind == spec.MountVolume && slices.ContainsFunc(p.all, func(c *Change) bool {
		return c.Volume != nil && (c.Action == ActionMove || c.Action == ActionReplace) && (c.Volume.Name == m.Name || c.Volume.From == m.Name)
	})
}

// live is what the guest of s can change while it runs, nil for nothing.
func (s *workspaceState) live() *observed.Live {
	if s.have == nil || !s.have.Running || s.have.Starting {
		return nil
	}
	return s.have.Live
}
