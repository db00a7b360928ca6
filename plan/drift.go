package plan

import (
	"fmt"
	"slices"
	"strings"
)

// drift is in what a guest that runs differs from what is recorded and declared: an apply was interrupted, or somebody changed it by
// hand. It is compared with what its VMM and its supervisor say, never with what they were told.
type drift struct {
	mounts []string // paths of those that change while it runs
	size   []string // in words: CPUs and memory that do
	dear   []string // in words: what a restart corrects alone
}

// any says that something is corrected while the guest runs.
func (d *drift) any() bool { return len(d.mounts)+len(d.size) > 0 }

func (s *workspaceState) drift() (d drift) {
	live := s.live()
	if live == nil {
		return d
	}
	if !s.diff.live("mounts") {
		d.mounts = s.unmounted()
	}
	if len(d.mounts) > 0 && !s.takes.mounts {
		d.dear = append(d.dear, "its guest has other mounts than it is to have: "+strings.Join(d.mounts, ", "))
		d.mounts = nil
	}
	vm := live.VM
	if vm == nil {
		return d
	}
	sized := func(what string, t taken) {
		if t.live {
			d.size = append(d.size, what)
		} else {
			d.dear = append(d.dear, what)
		}
	}
	if vm.CPUs != s.want.CPUs && !s.diff.touches("cpus") {
		sized(fmt.Sprintf("its VM has %s and is to have %d", cpusText(vm.CPUs), s.want.CPUs), s.takes.cpus)
	}
	if vm.Memory != s.want.Memory && !s.diff.touches("memory") {
		sized(fmt.Sprintf("its VM has %s of memory and is to have %s", sizeText(vm.Memory), sizeText(s.want.Memory)), s.takes.memory)
	}
	for _, path := range vm.Lacks {
		d.dear = append(d.dear, "its VM has no disk for "+path)
	}
	for _, file := range vm.Foreign {
		d.dear = append(d.dear, "its VM has a disk that it was not given: "+file)
	}
	if vm.Paused {
		d.dear = append(d.dear, "its VM is paused")
	}
	return d
}

func cpusText(n int) string {
	if n == 1 {
		return "1 CPU"
	}
	return fmt.Sprintf("%d CPUs", n)
}

// unmounted names the mounts, by path, in which a guest differs from what it is to have.
func (s *workspaceState) unmounted() (paths []string) {
	gone, come := remounted(s.live().Mounts, s.want.Mounts)
	for _, m := range slices.Concat(gone, come) {
		paths = append(paths, m.Path)
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}
