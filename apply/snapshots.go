package apply

import (
	"context"
	"time"

	"microagent/plan"
	"microagent/runtime/driver"
	"microagent/runtime/event"
)

// snapshot makes the snapshots that come before a change, and deletes those that applies made of the same volume and that
// are too many by then. done is told of each.
func (r *run) snapshot(ctx context.Context, c *plan.Change, done func(string)) error {
	for _, s := range c.Snapshots {
		made, err := r.drivers.VolumeData.Snapshot(ctx, s.Volume, "", driver.MadeByApply)
		if err != nil {
			return err
		}
		done("snapshot " + made.Name() + " made")
		r.events.Emit(event.Event{Type: event.TypeNote, Time: time.Now(), Address: c.Address.String(), Message: "snapshot " + made.Name() + " was made"})
		if err := r.forgetSnapshots(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) forgetSnapshots(ctx context.Context, s plan.SnapshotObject) error {
	list, err := r.drivers.VolumeData.Snapshots(ctx, s.Volume)
	if err != nil {
		return err
	}
	var ours []driver.Snapshot
	for _, one := range list {
		if one.Made == driver.MadeByApply {
			ours = append(ours, one)
		}
	}
	for _, old := range ours[:max(0, len(ours)-s.Keep)] {
		if err := r.drivers.VolumeData.DeleteSnapshot(ctx, old.Volume, old.Tag); err != nil {
			return err
		}
	}
	return nil
}
