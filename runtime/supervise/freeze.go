package supervise

import (
	"context"
	"errors"
	"fmt"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
	"microagent/runtime/supervise/control"
)

const (
	// freezeWait is how long a guest may take to freeze: first it writes what it holds back.
	freezeWait = time.Minute
	// thawWait is how long it may take to say that it held still, before it is taken for one that did not. Its client is there
	// to be told.
	thawWait = control.LeaveTime - time.Second
)

// Freeze holds a volume of the guest still. Whatever goes wrong, the guest ends that by itself.
func (s calls) Freeze(ctx context.Context, volume string, frozen func() error) error {
	const op = "freeze volume in workspace"
	return s.withGuest(ctx, op, func(calling context.Context, session *proto.Session) error {
		serial, err := s.written(op, session, volume, proto.CapFreeze)
		if err != nil {
			return err
		}
		freezing, cancel := context.WithTimeoutCause(calling, freezeWait, fmt.Errorf("it did not freeze within %s", freezeWait))
		err = session.Freeze(freezing, serial, proto.FreezeLimit)
		cancel()
		if err != nil {
			if errors.Is(freezing.Err(), context.DeadlineExceeded) {
				err = s.explainSilence(op, context.Cause(freezing))
			} else if calling.Err() != nil { // the guest is not told that its host gave up, and may be about to
				_ = s.thaw(calling, op, session, serial)
			}
			return err
		}
		err = frozen()
		limit := time.NewTimer(proto.FreezeLimit)
		defer limit.Stop()
		if err == nil {
			select {
			case <-calling.Done():
			case <-limit.C: // and the guest may be late to say so
				err = &driver.Error{Class: driver.ErrRefused, Op: op, Object: s.spec.Workspace.Name, Err: fmt.Errorf("it is frozen for %s at most", proto.FreezeLimit)}
			}
		}
		if thawed := s.thaw(calling, op, session, serial); err == nil {
			err = thawed
		}
		return err
	})
}

// thaw ends a freeze, also for a client that is gone by then. The guest may be, too.
func (s *supervisor) thaw(ctx context.Context, op string, session *proto.Session, serial string) error {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), thawWait, fmt.Errorf("it did not thaw within %s", thawWait))
	defer cancel()
	err := session.Thaw(ctx, serial)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return s.explainSilence(op, context.Cause(ctx))
	}
	return err
}

// Trim has the guest discard what a volume's file system does not use.
func (s calls) Trim(ctx context.Context, volume string) error {
	const op = "trim volume in workspace"
	return s.withGuest(ctx, op, func(ctx context.Context, session *proto.Session) error {
		serial, err := s.written(op, session, volume, proto.CapTrim)
		if err != nil {
			return err
		}
		return session.Trim(ctx, serial)
	})
}

// written is the serial of a volume that this guest writes to, if its agent has a capability.
func (s *supervisor) written(op string, session *proto.Session, volume, capability string) (serial string, err error) {
	disk, ok := s.attached().Volume(volume)
	switch {
	case !ok:
		return "", &driver.Error{Class: driver.ErrNotFound, Op: op, Object: s.spec.Workspace.Name, Err: fmt.Errorf("volume %s is not attached", volume)}
	case !session.Hello().Has(capability):
		return "", &driver.Error{Class: driver.ErrUnsupported, Op: op, Object: s.spec.Workspace.Name, Err: errors.New("its guest's agent is older than that"),
			Next: "microagent halt " + s.spec.Workspace.Name}
	}
	return disk.Machine.Serial, nil
}
