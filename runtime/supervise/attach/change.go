package attach

import (
	"slices"
	"strings"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/lease"
	"microagent/runtime/volume"
)

// Diff says which disks stay, go and come when the mounts become those: what is attached as it is to be stays as it is. Those that
// go come deepest path first.
func (d Disks) Diff(mounts []driver.Mount) (stay, gone Disks, come []driver.Mount) {
	come = slices.Clone(mounts)
	for _, one := range d {
		i := slices.IndexFunc(come, one.is)
		switch {
		case one.Kind == "":
			stay = append(stay, one)
		case i >= 0 && !one.Leaving:
			stay = append(stay, one)
			come = slices.Delete(come, i, i+1)
		default:
			gone = append(gone, one)
		}
	}
	slices.SortStableFunc(gone, func(a, b Disk) int { return strings.Count(b.Mount.Path, "/") - strings.Count(a.Mount.Path, "/") })
	return stay, gone, come
}

// is says whether one is attached as m asks; who owns a file system that was mounted before is not asked again.
func (d Disk) is(m driver.Mount) bool {
	readOnly := m.ReadOnly || m.Kind == driver.MountBundle
	return d.Kind == m.Kind && d.Name == m.Name && d.Asked.Path == m.Path && d.Machine.ReadOnly == readOnly && d.Asked.Source == m.Source &&
		d.Asked.DiskID == m.DiskID
}

// With says whether d has the file or device that m attaches.
func (d Disks) With(m driver.Mount) bool {
	return slices.ContainsFunc(d, func(one Disk) bool {
		return one.Kind == m.Kind && (one.Name == m.Name || m.Kind == driver.MountDisk && one.Asked.Source == m.Source)
	})
}

// Add takes the lease of one more mount of a workspace that runs, as its n-th disk, and notes self as the holder.
func Add(state layout.State, self lease.Process, workspace string, n int, m driver.Mount) (Disk, error) {
	a := acquirer{state: state, workspace: workspace}
	d, err := a.acquireMount(n, m)
	if err != nil {
		return d, err
	}
	if err := a.noteHolder(d, self); err != nil {
		d.claim.Close()
		return d, err
	}
	return d, nil
}

// Drop gives the lease of a disk back, of a workspace that goes on without it, and forgets that self held it.
func (d Disk) Drop(state layout.State, self lease.Process) error {
	var err error
	if d.Kind == driver.MountVolume {
		err = volume.ForgetHolder(state, d.Name, self)
	}
	d.claim.Close()
	return err
}

// Mounts are what is attached, in its order, as it was asked for.
func (d Disks) Mounts() []driver.Mount {
	mounts := []driver.Mount{}
	for _, one := range d {
		if one.Kind != "" && !one.Leaving {
			mounts = append(mounts, one.Asked)
		}
	}
	return mounts
}
