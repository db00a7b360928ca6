package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"microagent/runtime/layout"
	"microagent/runtime/lease"
)

// reclaimLimit is how long a killed process may take to let go of its leases.
const reclaimLimit = 10 * time.Second

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
		_, _, err := Client{Folder: folder}.Status(asking)
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

// endInheritors kills the processes that hold the lease of an image whose taker is dead, and waits until it is free.
func endInheritors(ctx context.Context, image string) error {
	for {
		held, pids, err := lease.Probe(image)
		if err != nil || !held {
			return err
		}
		if lease.AnyAlive(pids) {
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
		if _, pids, err = lease.Probe(image); err != nil || lease.AnyAlive(pids) {
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
