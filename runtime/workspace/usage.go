package workspace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/supervise/control"
	"microagent/runtime/workspace/process"
)

// Usage says what running workspaces take: processes and disks by the host's kernel, the rest by what guests say.
func (s *Store) Usage(ctx context.Context, names []string) ([]driver.Usage, error) {
	const op = "measure workspace"
	var list []driver.Usage
	runs := map[string]driver.Run{}
	records := map[string]*record{}
	for _, name := range names {
		r, err := s.need(op, name)
		if err != nil {
			return nil, err
		}
		run, err := control.ReadRun(s.State.Workspace(name))
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", op, name, err)
		}
		if run != nil && run.Phase.Alive() {
			runs[name], records[name] = *run, r
			list = append(list, driver.Usage{Workspace: name})
		}
	}
	var asked sync.WaitGroup
	for i := range list {
		asked.Go(func() { s.askUse(ctx, &list[i]) })
	}
	tree, err := process.Look()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	for i := range list {
		u := &list[i]
		u.At = time.Now()
		u.Host.Supervisor, u.Host.VMM = tree.Use(runs[u.Workspace].PID)
		if u.Host.Disks, err = s.imagesOf(records[u.Workspace]); err != nil {
			break
		}
	}
	asked.Wait()
	return list, err
}

func (s *Store) askUse(ctx context.Context, u *driver.Usage) {
	use, err := control.Client{Folder: s.State.Workspace(u.Workspace)}.Stats(ctx)
	switch {
	case err == nil:
		u.Guest = &use
	case ctx.Err() != nil:
		u.Why = "the guest does not answer"
	case errors.Is(err, driver.ErrUnsupported):
		u.Why = "it runs under an older microagent: start it again for the guest's view"
	default:
		u.Why = err.Error()
	}
}

// imagesOf are the disks that the workspace can write.
func (s *Store) imagesOf(r *record) (list []driver.ImageUse, err error) {
	add := func(name, path string) {
		var info os.FileInfo
		if info, err = os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			err = nil
			return
		}
		if err != nil {
			return
		}
		list = append(list, driver.ImageUse{Name: name, Size: info.Size(), Allocated: layout.Allocated(info)})
	}
	add("rootfs", s.State.Workspace(r.Name).File(layout.RootFSFile))
	for _, m := range r.Spec.Mounts {
		if m.Kind == driver.MountVolume && err == nil {
			add(m.Name, s.State.VolumeImage(m.Name))
		}
	}
	return list, err
}
