package attach

import (
	"os"
	"time"

	"microagent/runtime/disk/ext4/super"
	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// Left is how the disks that a guest could write were left. The VMM is gone.
func (d Disks) Left() []driver.LostImage {
	var list []driver.LostImage
	for _, one := range d {
		if !one.Machine.ReadOnly {
			list = append(list, left(nameOf(one.Kind, one.Name), one.claim.File()))
		}
	}
	return list
}

// LeftBy is Left of a workspace whose supervisor is gone, and its VMM with it. What can't be opened is left out.
func LeftBy(state layout.State, spec driver.WorkspaceSpec) []driver.LostImage {
	list := []driver.LostImage{}
	look := func(name, path string) {
		f, err := os.Open(path)
		if err == nil {
			list = append(list, left(name, f))
			_ = f.Close() // only read
		}
	}
	look(nameOf("", ""), state.Workspace(spec.Name).RootFS())
	for _, m := range spec.Mounts {
		switch {
		case m.ReadOnly:
		case m.Kind == driver.MountVolume:
			look(nameOf(m.Kind, m.Name), state.VolumeImage(m.Name))
		case m.Kind == driver.MountDisk:
			look(nameOf(m.Kind, m.Name), m.Source)
		}
	}
	return list
}

func nameOf(kind driver.MountKind, name string) string {
	if kind == "" {
		return "the root file system"
	}
	return string(kind) + " " + name
}

// left looks at one: a file has the time of the host's last write, a device only what the guest's kernel noted.
func left(name string, f *os.File) driver.LostImage {
	image := driver.LostImage{Name: name, Journal: driver.JournalUnknown}
	sb, err := super.Read(f)
	if err == nil && sb.Compat&super.HasJournal != 0 {
		image.Journal = driver.JournalClean
		if sb.NeedsRecovery() {
			image.Journal = driver.JournalDirty
		}
	}
	info, statErr := f.Stat()
	switch {
	case statErr == nil && info.Mode().IsRegular():
		image.LastWrite = info.ModTime().UTC()
	case err == nil && sb.LastWrite > 0:
		image.LastWrite = time.Unix(sb.LastWrite, 0).UTC()
	}
	return image
}
