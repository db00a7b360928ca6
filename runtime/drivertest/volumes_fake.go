package drivertest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"microagent/runtime/driver"
)

// FakeVolumes is driver.Volumes in memory. The zero value is empty.
type FakeVolumes struct {
	// Fail, when it is set, is asked before each change ("create", "grow", "protect", "adopt", "delete") and its
	// error is what the change returns.
	Fail func(op, name string) error

	mu        sync.Mutex
	volumes   map[string]driver.Volume
	snapshots map[string]driver.Snapshot
	next      int
}

var _ driver.Volumes = (*FakeVolumes)(nil)

func (f *FakeVolumes) fail(op, name string) error {
	if f.Fail == nil {
		return nil
	}
	return f.Fail(op, name)
}

// put keeps v with a digest of what a record would hold.
func (f *FakeVolumes) put(v driver.Volume) driver.Volume {
	if f.volumes == nil {
		f.volumes = map[string]driver.Volume{}
	}
	v.RecordDigest = fakeDigest([]any{v.Name, v.ID, v.Project, v.Size, v.Created, v.Protected})
	f.volumes[v.Name] = v
	return v
}

func (f *FakeVolumes) get(op, name string) (driver.Volume, error) {
	v, ok := f.volumes[name]
	if !ok {
		return v, &driver.Error{Class: driver.ErrNotFound, Op: op, Object: name}
	}
	return v, nil
}

// List gives the volumes by name.
func (f *FakeVolumes) List(context.Context) ([]driver.Volume, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return sortedValues(f.volumes), nil
}

// Get gives one volume.
func (f *FakeVolumes) Get(_ context.Context, name string) (driver.Volume, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.get("look at volume", name)
}

// Find gives one volume without its holder.
func (f *FakeVolumes) Find(ctx context.Context, name string) (driver.Volume, error) {
	v, err := f.Get(ctx, name)
	v.Attached, v.Holder = false, nil
	return v, err
}

// Create makes a volume.
func (f *FakeVolumes) Create(_ context.Context, spec driver.VolumeSpec) (driver.Volume, bool, error) {
	const op = "create volume"
	if err := fakeName(op, spec.Name); err != nil {
		return driver.Volume{}, false, err
	}
	if spec.Size <= 0 || spec.Size%4096 != 0 {
		return driver.Volume{}, false, &driver.Error{Class: driver.ErrInvalid, Op: op, Object: spec.Name, Err: errors.New("bad size")}
	}
	if err := f.fail("create", spec.Name); err != nil {
		return driver.Volume{}, false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if v, ok := f.volumes[spec.Name]; ok {
		switch {
		case v.Project != spec.Project:
			return driver.Volume{}, false, &driver.Error{
				Class: driver.ErrRefused, Op: op, Object: spec.Name, Err: errors.New("another owner"), Next: "adopt it",
			}
		case v.Size != spec.Size:
			return driver.Volume{}, false, &driver.Error{Class: driver.ErrExists, Op: op, Object: spec.Name, Next: "grow it"}
		}
		return v, false, nil
	}
	if spec.From != "" {
		size, err := f.size(op, spec.From)
		if err == nil && size > spec.Size {
			err = &driver.Error{Class: driver.ErrRefused, Op: op, Object: spec.Name, Next: "give it as much"}
		}
		if err != nil {
			return driver.Volume{}, false, err
		}
	}
	f.next++
	return f.put(driver.Volume{
		Name: spec.Name, ID: fmt.Sprintf("%016x", f.next), Project: spec.Project, Size: spec.Size,
		Created: time.Unix(int64(f.next), 0).UTC(), Path: "/state/volumes/" + spec.Name + ".ext4",
	}), true, nil
}

// Grow makes a volume larger, attached or not.
func (f *FakeVolumes) Grow(_ context.Context, name string, size int64, by driver.Grower) (driver.Volume, error) {
	if err := f.fail("grow", name); err != nil {
		return driver.Volume{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	v, err := f.get("grow volume", name)
	if err != nil {
		return v, err
	}
	if size < v.Size {
		return v, &driver.Error{Class: driver.ErrRefused, Op: "grow volume", Object: name, Err: errors.New("volumes do not shrink")}
	}
	switch {
	case v.Size == size:
	case by == driver.ByApply:
		v.Declared = 0
	case v.Project != "" && v.Declared == 0:
		v.Declared = v.Size
	}
	v.Size = size
	return f.put(v), nil
}

// Protect sets or lifts the protection.
func (f *FakeVolumes) Protect(_ context.Context, name string, on bool) error {
	if err := f.fail("protect", name); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	v, err := f.get("protect volume", name)
	if err != nil {
		return err
	}
	v.Protected = on
	f.put(v)
	return nil
}

// Move changes the name.
func (f *FakeVolumes) Move(_ context.Context, from, to, project string) error {
	const op = "move volume"
	if err := errors.Join(fakeName(op, from), fakeName(op, to)); err != nil {
		return err
	}
	if from == to {
		return &driver.Error{Class: driver.ErrInvalid, Op: op, Object: from, Err: errors.New("its name already")}
	}
	if err := f.fail("move", from); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	v, err := f.get(op, from)
	if err != nil {
		return err
	}
	if _, taken := f.volumes[to]; taken {
		return &driver.Error{Class: driver.ErrExists, Op: op, Object: from, Err: errors.New("the name is taken")}
	}
	if v.Attached {
		return fakeBusy(op, v)
	}
	delete(f.volumes, from)
	v.Name, v.Project, v.Path, v.Holder = to, project, "/state/volumes/"+to+".ext4", nil
	f.put(v)
	return nil
}

// Adopt changes the owner.
func (f *FakeVolumes) Adopt(_ context.Context, name, project string) error {
	if err := f.fail("adopt", name); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	v, err := f.get("adopt volume", name)
	if err != nil {
		return err
	}
	if v.Attached && v.Project != project {
		return fakeBusy("adopt volume", v)
	}
	if v.Project != project {
		v.Declared = 0
	}
	v.Project = project
	f.put(v)
	return nil
}

// Delete removes a volume.
func (f *FakeVolumes) Delete(_ context.Context, name string) error {
	if err := f.fail("delete", name); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	v, ok := f.volumes[name]
	switch {
	case !ok:
		return nil
	case v.Protected:
		return &driver.Error{Class: driver.ErrRefused, Op: "delete volume", Object: name, Err: errors.New("it is protected")}
	case v.Attached:
		return fakeBusy("delete volume", v)
	}
	delete(f.volumes, name)
	return nil
}

func fakeBusy(op string, v driver.Volume) error {
	return &driver.Error{
		Class: driver.ErrBusy, Op: op, Object: v.Name,
		Err: errors.New("attached to workspace " + v.Holder.Workspace), Next: "microagent halt " + v.Holder.Workspace,
	}
}

// Attach holds a volume for a workspace. A second holder is ErrBusy.
func (f *FakeVolumes) Attach(name, workspace string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	v, err := f.get("attach volume", name)
	if err != nil {
		return err
	}
	if v.Attached && v.Holder.Workspace != workspace {
		return fakeBusy("attach volume", v)
	}
	v.Attached = true
	v.Holder = &driver.Holder{Workspace: workspace}
	f.put(v)
	return nil
}

// Detach lets go of one volume that workspace holds.
func (f *FakeVolumes) Detach(name, workspace string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if v, ok := f.volumes[name]; ok && v.Attached && v.Holder.Workspace == workspace {
		v.Attached = false
		f.put(v)
	}
}

// Release lets go of every volume that workspace holds.
func (f *FakeVolumes) Release(workspace string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, v := range f.volumes {
		if v.Attached && v.Holder.Workspace == workspace {
			v.Attached = false
			f.put(v)
		}
	}
}

// Orphan puts an image without a record there.
func (f *FakeVolumes) Orphan(name string, size int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := f.put(driver.Volume{Name: name, Size: size, Path: "/state/volumes/" + name + ".ext4"})
	v.RecordDigest = ""
	f.volumes[name] = v
}
