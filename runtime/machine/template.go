package machine

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"microagent/ch"
)

// early is what there is to know of a guest before it is configured.
type early struct {
	once sync.Once
	over chan struct{} // closed when it waits to be configured, or will not be worth saving
	err  error         // why it is not; meaningful after over
}

func newEarly() early { return early{over: make(chan struct{})} }

func (e *early) take(event ch.Event) {
	switch {
	case event.Is("virtio-device", "greeted"):
		e.once.Do(func() { close(e.over) })
	case event.Is("vm", "rebooting"):
		e.once.Do(func() { e.err = errors.New("the guest rebooted before it was up"); close(e.over) })
	}
}

// MostPlugged is how many disks a guest can get that goes on from where it was saved, so that there is room for some more later.
const MostPlugged = 32

// CanCopy says why no copy can be made of a guest of this VMM, nil when one can.
func (c Choice) CanCopy() error {
	if c.Kind == CloudHypervisor {
		return errors.New("guests of cloud-hypervisor are not copied yet")
	}
	return nil
}

// Saved is nil when the guest was saved as Spec.Save wanted, or why it was not.
func (vm *VM) Saved() error { return vm.saved }

// copyTemplate makes the guest a copy of a template, and gives it its disks.
func (vm *VM) copyTemplate(ctx context.Context) error {
	if err := vm.client.Restore(ctx, ch.RestoreConfig{SourceUrl: "file://" + vm.spec.Copy.Folder}); err != nil {
		return vm.vmmError(ctx, "copy the template", err)
	}
	vm.followConsole()
	return vm.goOn(ctx)
}

// bootAndSave boots the guest without its disks, saves it when it waits to be configured, and gives it the disks. That it can't
// be saved is no reason to do without it.
func (vm *VM) bootAndSave(ctx context.Context) error {
	c := vm.spec.config()
	c.Disks = nil
	c.Memory.Shared = new(true)
	if err := vm.boot(ctx, c); err != nil {
		return err
	}
	select {
	case <-vm.early.over:
		vm.saved = vm.early.err
	case <-vm.process.exited:
		return vm.vmmError(ctx, "boot VM", errors.New("the VMM ended"))
	case <-ctx.Done():
		return vm.vmmError(ctx, "boot VM", context.Cause(ctx))
	}
	if err := vm.client.Pause(ctx); err != nil {
		return vm.vmmError(ctx, "pause VM", err)
	}
	if vm.saved == nil {
		vm.saved = vm.client.Snapshot(ctx, "file://"+vm.spec.Save.Folder)
	}
	return vm.goOn(ctx)
}

// goOn gives a paused guest its disks, all at once, and lets it run.
func (vm *VM) goOn(ctx context.Context) error {
	for _, d := range vm.spec.disks() {
		if _, err := vm.client.AddDisk(ctx, d); err != nil {
			return vm.vmmError(ctx, fmt.Sprintf("plug in disk %s", *d.Id), err)
		}
	}
	if err := vm.client.Resume(ctx); err != nil {
		return vm.vmmError(ctx, "resume VM", err)
	}
	return nil
}
