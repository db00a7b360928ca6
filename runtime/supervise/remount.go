package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"microagent/ch"
	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
	"microagent/runtime/machine"
	"microagent/runtime/supervise/attach"
)

const opMount = "change mounts of workspace"

// attached are the disks of the guest now.
func (s *supervisor) attached() attach.Disks {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.disks
}

// setDisks makes those the disks, which run.json tells.
func (s *supervisor) setDisks(disks attach.Disks) error {
	s.mu.Lock()
	s.disks = disks
	s.mu.Unlock()
	return s.saveRun()
}

// settleDisks gives the disks that the next VM starts with, without those that were on their way out of the last.
func (s *supervisor) settleDisks() attach.Disks {
	_ = s.remounting.Acquire(context.Background(), 1) // which waits until it has it
	defer s.remounting.Release(1)
	var stay attach.Disks
	for _, d := range s.attached() {
		if !d.Leaving {
			stay = append(stay, d)
		} else if err := d.Drop(s.state, s.self); err != nil {
			s.log.Warn("give up a disk", "disk", d.Words(), "error", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disks = stay
	return stay
}

// canChange says what of the guest that is there can change while it runs; nil where nothing can. The caller has mu.
func (s *supervisor) canChange() *driver.Live {
	if s.life == nil || s.vm == nil || s.life.ending.Load() || !s.life.session.Hello().Has(proto.CapMount) {
		return nil
	}
	l := &driver.Live{Mounts: s.disks.Mounts(), Room: s.vm.Room(len(s.disks)), VM: s.seen}
	for _, d := range s.disks {
		if d.Kind != "" && s.vm.Fixed(d.Machine.Serial) {
			l.Fixed = append(l.Fixed, d.Mount.Path)
		}
	}
	return l
}

// mountOf is how the guest mounts a disk.
func (s *supervisor) mountOf(d attach.Disk) proto.Mount {
	m := d.Mount
	if m.Owner == "" && d.Kind == driver.MountVolume {
		m.Owner = s.spec.Workspace.Process.User
	}
	return m
}

// Mount makes what the guest has mounted those, to its end also when the client goes away. What is taken away comes first, since
// its disk may be wanted elsewhere; nothing is taken away when a disk that comes can't be had.
func (s calls) Mount(ctx context.Context, mounts []driver.Mount) error {
	return s.withGuest(context.WithoutCancel(ctx), opMount, func(ctx context.Context, session *proto.Session) error {
		if err := s.remounting.Acquire(ctx, 1); err != nil {
			return err
		}
		defer s.remounting.Release(1)
		if !session.Hello().Has(proto.CapMount) {
			return &driver.Error{
				Class: driver.ErrUnsupported, Op: opMount, Object: s.spec.Workspace.Name,
				Err: errors.New("its guest's agent is older than that, and takes them when it starts"), Next: "microagent restart " + s.spec.Workspace.Name,
			}
		}
		s.mu.Lock()
		vm := s.vm
		s.mu.Unlock()
		defer s.look(ctx, vm)
		return remount{s.supervisor, vm, session}.to(ctx, mounts)
	})
}

// remount changes the disks of one guest.
type remount struct {
	*supervisor
	vm interface {
		Plug(context.Context, machine.Disk, *os.File) error
		Unplug(ctx context.Context, serial string) error
	}
	session *proto.Session
}

func (r remount) to(ctx context.Context, mounts []driver.Mount) error {
	_, gone, come := r.attached().Diff(mounts)
	var have attach.Disks
	giveUp := func(err error) error {
		for _, d := range have {
			err = errors.Join(err, d.Drop(r.state, r.self))
		}
		return err
	}
	var later []driver.Mount // whose disks are among those that go
	for _, m := range come {
		if gone.With(m) {
			later = append(later, m)
			continue
		}
		d, err := r.acquire(m)
		if err != nil {
			return giveUp(err)
		}
		have = append(have, d)
	}
	if err := r.takeAway(ctx, gone); err != nil {
		return giveUp(err)
	}
	for _, m := range later {
		d, err := r.acquire(m)
		if err != nil {
			return giveUp(err)
		}
		have = append(have, d)
	}
	slices.SortStableFunc(have, func(a, b attach.Disk) int {
		return index(mounts, a.Asked.Path) - index(mounts, b.Asked.Path)
	})
	for len(have) > 0 {
		if err := r.add(ctx, have[0]); err != nil {
			have = have[1:]
			return giveUp(err)
		}
		have = have[1:]
	}
	return nil
}

func index(mounts []driver.Mount, path string) int {
	return slices.IndexFunc(mounts, func(m driver.Mount) bool { return m.Path == path })
}

func (r remount) acquire(m driver.Mount) (attach.Disk, error) {
	n := r.serials
	r.serials++
	return attach.Add(r.state, r.self, r.spec.Workspace.Name, n-1, m) // the root file system is none of the numbered
}

// takeAway unmounts all of them, or none, and takes them out of the VM one by one.
func (r remount) takeAway(ctx context.Context, gone attach.Disks) error {
	for i, d := range gone {
		if err := r.session.Unmount(ctx, d.Machine.Serial); err != nil {
			return r.inUse(d, errors.Join(err, r.mountBack(ctx, gone[:i])))
		}
	}
	if len(gone) == 0 {
		return nil
	}
	if err := r.leave(gone); err != nil { // all at once: those that one keeps waiting are mounted no more either
		return err
	}
	for _, d := range gone {
		if err := r.remove(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

// mountBack mounts again what was unmounted. What the guest refuses to mount leaves; a guest that is gone mounts all when it boots.
func (r remount) mountBack(ctx context.Context, disks attach.Disks) (err error) {
	for _, d := range disks {
		if d.Leaving {
			continue
		}
		failed := r.session.Mount(ctx, r.mountOf(d))
		if _, refused := errors.AsType[*proto.GuestError](failed); refused {
			failed = errors.Join(failed, r.leave(attach.Disks{d}))
		}
		err = errors.Join(err, failed)
	}
	return err
}

// inUse is the error of a mount that the guest uses.
func (r remount) inUse(d attach.Disk, err error) error {
	if guest, ok := errors.AsType[*proto.GuestError](err); !ok || guest.Code != proto.CodeRefused {
		return err
	}
	name := r.spec.Workspace.Name
	// The guest's error is not wrapped: it is a refusal of the guest's, and what is in use now may not be later.
	return &driver.Error{Class: driver.ErrBusy, Op: "take " + d.Words() + " from workspace", Object: name,
		Err: errors.New(err.Error() + "; it goes once nothing uses it, or the guest is stopped"), Next: "microagent halt " + name}
}

// remove takes a disk that leaves out of the VM, and gives it up once the VMM has closed it.
func (r remount) remove(ctx context.Context, d attach.Disk) error {
	serial := d.Machine.Serial
	if err := r.vm.Unplug(ctx, serial); err != nil {
		return err
	}
	err := d.Drop(r.state, r.self)
	return errors.Join(err, r.setDisks(r.without(serial)))
}

// leave notes that the guest has those mounted no more.
func (r remount) leave(gone attach.Disks) error { return r.setDisks(r.marked(gone, true)) }

// marked gives the disks, in a slice of their own, with some of them leaving or not. without gives them without one.
func (r remount) marked(some attach.Disks, leaving bool) attach.Disks {
	disks := slices.Clone(r.attached())
	for i := range disks {
		if slices.ContainsFunc(some, func(d attach.Disk) bool { return d.Machine.Serial == disks[i].Machine.Serial }) {
			disks[i].Leaving = leaving
		}
	}
	return disks
}

func (r remount) without(serial string) attach.Disks {
	return slices.DeleteFunc(slices.Clone(r.attached()), func(d attach.Disk) bool { return d.Machine.Serial == serial })
}

// add plugs a disk in and mounts it. Where that fails it is given up, unless the VMM keeps it: then it is one that leaves, until the
// guest's end.
func (r remount) add(ctx context.Context, d attach.Disk) error {
	serial := d.Machine.Serial
	d.Leaving = true
	if err := r.setDisks(append(slices.Clone(r.attached()), d)); err != nil {
		return errors.Join(err, d.Drop(r.state, r.self), r.setDisks(r.without(serial)))
	}
	if err := r.vm.Plug(ctx, d.Machine, d.File()); err != nil {
		if _, unknown := errors.AsType[*ch.UnknownOutcomeError](err); unknown || ctx.Err() != nil {
			return r.explainAdd(d, err) // the VMM may have it
		}
		return errors.Join(r.explainAdd(d, err), d.Drop(r.state, r.self), r.setDisks(r.without(serial)))
	}
	if err := r.session.Mount(ctx, r.mountOf(d)); err != nil {
		return errors.Join(r.explainAdd(d, err), r.remove(ctx, d))
	}
	return r.setDisks(r.marked(attach.Disks{d}, false))
}

func (r remount) explainAdd(d attach.Disk, err error) error {
	if e, ok := errors.AsType[*driver.Error](err); ok && e.Next != "" {
		return err
	}
	name := r.spec.Workspace.Name
	return &driver.Error{Class: driver.ClassOf(driver.ClassName(err)), Op: fmt.Sprintf("give %s to workspace", d.Words()), Object: name, Err: err,
		Next: "microagent restart " + name}
}
