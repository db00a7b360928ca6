package kernel

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// Prune removes the initramfs of installed kernels that this program does not boot: those with the guest's program of
// another version. It gives their bytes on disk and their paths. Who calls it knows that no guest runs which another version
// started: one that is started again by its supervisor boots its own.
func (s *Store) Prune(dry bool) (freed int64, removed []string, err error) {
	const op = "prune initramfs"
	list, err := s.List()
	if err != nil || len(list) == 0 {
		return 0, nil, err
	}
	guest, err := s.guest(s.arch)
	if err != nil {
		return 0, nil, err
	}
	for _, k := range list {
		r, err := s.read(k.ID)
		if err != nil {
			return freed, removed, &driver.Error{Op: op, Object: k.ID, Err: err}
		}
		current := map[string]bool{}
		for vmm := range modulesFor {
			current[filepath.Base(s.initramfsPath(r, vmm, guest))] = true
		}
		entries, err := os.ReadDir(k.Path)
		if err != nil {
			return freed, removed, &driver.Error{Op: op, Object: k.ID, Err: err}
		}
		for _, e := range entries {
			name := e.Name()
			if !strings.HasPrefix(name, "initramfs-") || !strings.HasSuffix(name, ".cpio") || current[name] || !e.Type().IsRegular() {
				continue
			}
			info, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err == nil && !dry {
				err = os.Remove(filepath.Join(k.Path, name))
			}
			if err != nil {
				return freed, removed, &driver.Error{Op: op, Object: k.ID, Err: err}
			}
			freed += layout.Allocated(info)
			removed = append(removed, filepath.Join(k.Path, name))
		}
	}
	return freed, removed, nil
}
