package drivertest

import (
	"context"
	"errors"

	"microagent/runtime/driver"
)

var _ driver.VolumeData = (*FakeVolumes)(nil)

// unused is a volume whose content may be copied.
func (f *FakeVolumes) unused(op, name string) (driver.Volume, error) {
	v, err := f.get(op, name)
	if err == nil && v.Attached {
		err = fakeBusy(op, v)
	}
	return v, err
}

// Clone makes a volume beside another.
func (f *FakeVolumes) Clone(ctx context.Context, from, to string) (driver.Cloned, error) {
	const op = "clone volume"
	if err := errors.Join(fakeName(op, from), fakeName(op, to)); err != nil {
		return driver.Cloned{}, err
	}
	if err := f.fail("clone", from); err != nil {
		return driver.Cloned{}, err
	}
	f.mu.Lock()
	v, err := f.unused(op, from)
	_, taken := f.volumes[to]
	f.mu.Unlock()
	if err != nil {
		return driver.Cloned{}, err
	}
	if taken {
		return driver.Cloned{}, &driver.Error{Class: driver.ErrExists, Op: op, Object: to, Next: "microagent volume status " + to}
	}
	made, _, err := f.Create(ctx, driver.VolumeSpec{Name: to, Size: v.Size})
	return driver.Cloned{Volume: made, OwnIdentity: true}, err
}
