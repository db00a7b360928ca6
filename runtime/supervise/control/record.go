package control

import (
	"context"
	"errors"
	"io/fs"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/lease"
)

// ReadRun reads a workspace's newest run, nil when it never ran. A run whose supervisor is gone without an end is
// shown as lost; nothing is written.
func ReadRun(folder layout.Workspace) (*driver.Run, error) {
	run, err := readRun(folder)
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
	if run, err = readRun(folder); err != nil {
		return nil, err
	}
	if run.Phase.Alive() && !owner(&run).Alive() {
		run.Phase = driver.PhaseLost
		run.Error = "its supervisor was killed"
		run.EndWaiting()
	}
	return &run, nil
}

func readRun(folder layout.Workspace) (driver.Run, error) {
	var r runRecord
	err := layout.ReadJSON(folder.Run(), &r)
	return r.run(), err
}

// WriteRun makes run the newest run of a workspace. Only the supervisor that has the lease may.
func WriteRun(folder layout.Workspace, run driver.Run) error {
	return layout.WriteJSON(folder.Run(), runRecordOf(run))
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
