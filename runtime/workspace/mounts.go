package workspace

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"microagent/runtime/driver"
)

// checkMounts refuses what would hide the guest's own file systems, and a disk with a writer and any other use of it.
func checkMounts(mounts []driver.Mount) error {
	for i, m := range mounts {
		switch {
		case !path.IsAbs(m.Path) || path.Clean(m.Path) != m.Path:
			return fmt.Errorf("the mount path %q is not absolute and clean", m.Path)
		case m.Path == "/":
			return errors.New("nothing can be mounted at /, which is the root file system")
		}
		for _, dir := range []string{"/proc", "/sys", "/dev"} {
			if m.Path == dir || strings.HasPrefix(m.Path, dir+"/") {
				return fmt.Errorf("nothing can be mounted at %s, which is the kernel's", m.Path)
			}
		}
		for _, other := range mounts[:i] {
			if other.Path == m.Path {
				return fmt.Errorf("two mounts at %s", m.Path)
			}
			if shared(m, other) && !(m.ReadOnly && other.ReadOnly) {
				return fmt.Errorf("%s %s is mounted at %s and at %s, and one of them writes", m.Kind, m.Name, other.Path, m.Path)
			}
		}
	}
	return nil
}

// shared says that two mounts are of one disk.
func shared(a, b driver.Mount) bool {
	if a.Kind != b.Kind || a.Kind == driver.MountBundle {
		return false
	}
	if a.Kind == driver.MountVolume {
		return a.Name == b.Name
	}
	return a.Source == b.Source
}
