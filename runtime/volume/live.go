package volume

import (
	"context"
	"errors"
	"os"

	"microagent/runtime/disk/ext4/read"
	"microagent/runtime/disk/ext4/super"
	"microagent/runtime/disk/target"
	"microagent/runtime/driver"
	"microagent/runtime/lease"
)

// origin is the image of a source. One that a running guest writes to can only be copied, while that is frozen.
type origin struct {
	*os.File
	frozen func(ctx context.Context, do func(ctx context.Context) error) error // nil: nobody changes it
}

// copyTo makes a draft a copy of it, of one moment. What a guest kept still needs no recovery then.
func (o origin) copyTo(ctx context.Context, draft *target.FileDraft) error {
	if o.frozen == nil {
		return target.Copy(ctx, draft, o.File)
	}
	// What the guest wrote so far need not be written by the host while the guest waits.
	if err := o.Sync(); err != nil {
		return err
	}
	if err := o.frozen(ctx, func(ctx context.Context) error { return target.Copy(ctx, draft, o.File) }); err != nil {
		return err
	}
	sb, err := super.Read(draft.File)
	if err == nil && sb.NeedsRecovery() {
		err = errors.New("its guest says that it was frozen, and it was not")
	}
	return err
}

// rests says whether it can be read as it is, without a copy.
func (o origin) rests() (bool, error) {
	if o.frozen != nil {
		return false, nil
	}
	info, err := o.Stat()
	if err != nil {
		return false, err
	}
	f, err := read.Open(o.File, info.Size())
	return err == nil && !f.Super.NeedsRecovery(), err
}

// writer is the running workspace that writes to a volume, "" where that is nobody who can be asked.
func (s *Store) writer(name string) string {
	h, _ := ReadHolder(s.State, name)
	if h == nil || h.ReadOnly || !(lease.Process{PID: h.PID, BootID: h.BootID, Start: h.Start}).Alive() {
		return ""
	}
	return h.Workspace
}

// live opens the image of a volume that a guest has, for copies; busy is the error where it can't be asked.
func (s *Store) live(op, name string, busy error) (origin, error) {
	workspace := s.writer(name)
	if workspace == "" || s.Frozen == nil {
		return origin{}, busy
	}
	f, err := os.Open(s.State.VolumeImage(name))
	if err != nil {
		return origin{}, wrap(op, name, err)
	}
	return origin{f, func(ctx context.Context, do func(ctx context.Context) error) error {
		err := s.Frozen(ctx, workspace, name, do)
		if errors.Is(err, driver.ErrUnsupported) {
			return busy
		}
		return err
	}}, nil
}
