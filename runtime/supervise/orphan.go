package supervise

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/lease"
	"microagent/runtime/volume"
)

// reclaimLimit is how long a killed process may take to let go of its leases.
const reclaimLimit = 10 * time.Second

// ReadRun reads a workspace's newest run, nil when it never ran. A run whose supervisor is gone without an end is
// shown as lost; nothing is written.
func ReadRun(folder layout.Workspace) (*driver.Run, error) {
	var run driver.Run
	err := layout.ReadJSON(folder.Run(), &run)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !run.Phase.Alive() || owner(&run).Alive() {
		return &run, nil
	}
	// It may have ended between the two looks.
	if err := layout.ReadJSON(folder.Run(), &run); err != nil {
		return nil, err
	}
	if run.Phase.Alive() && !owner(&run).Alive() {
		run.Phase = driver.PhaseLost
		run.Error = "its supervisor was killed"
	}
	return &run, nil
}

func owner(run *driver.Run) lease.Process {
	return lease.Process{PID: run.PID, BootID: run.BootID, Start: run.Start}
}

// Settle waits for a supervisor that has reported the end of its run to be gone, with its leases.
func Settle(ctx context.Context, run *driver.Run) error {
	if run == nil || run.Phase.Alive() {
		return nil
	}
	return owner(run).Wait(ctx)
}

// Reclaim ends what an earlier supervisor left: one that lives and does not answer, and a VMM that outlived its
// supervisor. A supervisor that answers is left alone. Afterwards the lease of the root file system is free, unless
// somebody else took it.
func Reclaim(ctx context.Context, folder layout.Workspace) error {
	run, err := ReadRun(folder)
	if err != nil {
		return err
	}
	if run == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, reclaimLimit)
	defer cancel()
	if p := owner(run); p.Alive() {
		asking, cancel := context.WithTimeout(ctx, reclaimLimit/2)
		_, _, err := Client{folder}.Status(asking)
		cancel()
		if err == nil {
			return nil
		}
		if !run.Phase.Alive() {
			return Settle(ctx, run)
		}
		if time.Since(run.Started) > reclaimLimit || errors.Is(err, context.DeadlineExceeded) {
			if err := p.Kill(ctx); err != nil {
				return fmt.Errorf("end the supervisor that does not answer: %w", err)
			}
		}
	}
	return endInheritors(ctx, folder.RootFS())
}

// reclaimVolume takes the lease of a volume whose holder is dead: what it left running is ended, or ends by itself. A
// holder that lives keeps it, and busy is the error.
func (s *supervisor) reclaimVolume(name string, mode lease.Mode, busy error) (*lease.Lease, error) {
	h, _ := volume.ReadHolder(s.state, name)
	if h == nil || !layout.ValidName(h.Workspace) {
		return nil, busy
	}
	if p := (lease.Process{PID: h.PID, BootID: h.BootID, Start: h.Start}); p.Alive() {
		return nil, busy
	}
	if err := Reclaim(context.Background(), s.state.Workspace(h.Workspace)); err != nil {
		return nil, errors.Join(busy, err)
	}
	l, err := lease.Acquire(s.state.VolumeImage(name), mode)
	for deadline := time.Now().Add(reclaimLimit / 2); errors.Is(err, driver.ErrBusy) && time.Now().Before(deadline); {
		if _, pids, probeErr := lease.Probe(s.state.VolumeImage(name)); probeErr != nil || anyAlive(pids) {
			break
		}
		l, err = lease.Acquire(s.state.VolumeImage(name), mode)
	}
	return l, err
}

// anyAlive says whether one of the processes that took a lease still runs.
func anyAlive(pids []int) bool {
	for _, pid := range pids {
		if p, err := lease.Find(pid); err == nil && p.Alive() {
			return true
		}
	}
	return false
}

// endInheritors kills the processes that hold the lease of an image whose taker is dead, and waits until it is free.
func endInheritors(ctx context.Context, image string) error {
	for {
		held, pids, err := lease.Probe(image)
		if err != nil || !held {
			return err
		}
		if anyAlive(pids) {
			return nil
		}
		left, err := lease.Inheritors(image)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		// Somebody may have taken the lease just now: that one is no orphan.
		if _, pids, err = lease.Probe(image); err != nil || anyAlive(pids) {
			return err
		}
		for _, p := range left {
			if err := p.Kill(ctx); err != nil {
				return fmt.Errorf("end what a killed supervisor left running: %w", err)
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}
