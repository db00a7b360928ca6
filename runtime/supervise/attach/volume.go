package attach

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"microagent/runtime/disk/ext4/edit"
	"microagent/runtime/disk/target"
	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/lease"
	"microagent/runtime/supervise/control"
	"microagent/runtime/volume"
)

// letGoLimit is how long what a dead holder left may take to let go of a lease, once it was ended.
const letGoLimit = 5 * time.Second

// checkVolume refuses a volume that was deleted and made anew since the workspace was planned.
func (a acquirer) checkVolume(m driver.Mount) error {
	var meta layout.Meta
	err := layout.ReadJSON(a.state.VolumeRecord(m.Name), &meta)
	if errors.Is(err, fs.ErrNotExist) || err == nil && meta.Deleting {
		return a.explainMissing(m)
	}
	if err != nil {
		return fmt.Errorf("attach volume %s: %w", m.Name, err)
	}
	if m.Source != "" && meta.ID != m.Source {
		return &driver.Error{
			Class: driver.ErrStale, Op: "attach volume", Object: m.Name,
			Err: errors.New("it was deleted and made anew since this workspace was set up"), Next: a.nextVolume(m),
		}
	}
	return volume.Changed(a.state, "attach volume", m.Name)
}

// reclaimVolume takes the lease of a volume whose holder is dead: what it left running is ended, or ends by itself. A
// holder that lives keeps it, and busy is the error.
func (a acquirer) reclaimVolume(name string, mode lease.Mode, busy error) (*target.Claim, error) {
	h, _ := volume.ReadHolder(a.state, name)
	if h == nil || !layout.ValidName(h.Workspace) {
		return nil, busy
	}
	if p := (lease.Process{PID: h.PID, BootID: h.BootID, Start: h.Start}); p.Alive() {
		return nil, busy
	}
	if err := control.Reclaim(context.Background(), a.state.Workspace(h.Workspace)); err != nil {
		return nil, errors.Join(busy, err)
	}
	l, err := target.At(a.state.VolumeImage(name)).Claim(mode)
	for deadline := time.Now().Add(letGoLimit); errors.Is(err, driver.ErrBusy) && time.Now().Before(deadline); {
		if _, pids, probeErr := lease.Probe(a.state.VolumeImage(name)); probeErr != nil || lease.AnyAlive(pids) {
			break
		}
		l, err = target.At(a.state.VolumeImage(name)).Claim(mode)
	}
	return l, err
}

// replay writes back what the journal of a volume still holds, since a guest can't mount it read-only otherwise. It does
// nothing while anybody holds the volume: whoever does has replayed it or is about to.
func replay(name, path string) error {
	const op = "attach volume"
	l, err := target.At(path).Claim(lease.Exclusive)
	if errors.Is(err, driver.ErrBusy) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", op, name, err)
	}
	defer l.Close()
	size, err := l.Size()
	if err != nil {
		return fmt.Errorf("%s %s: %w", op, name, err)
	}
	if err := edit.Recover(l.File(), size); err != nil {
		return &driver.Error{Class: driver.ErrCorrupt, Op: op, Object: name, Err: fmt.Errorf("replay its journal: %w", err),
			Next: nextReplay + ": the guest's kernel may read what this program does not"}
	}
	return nil
}
