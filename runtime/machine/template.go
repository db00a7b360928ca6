package machine

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"microagent/ch"
	"microagent/runtime/template"
	"microagent/runtime/template/processor"
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
	case event.Is("virtio-device", "greeted"): // the adapter says so, and cloud-hypervisor doesn't: see touch
		e.end(nil)
	case event.Is("vm", "rebooting"):
		e.end(errors.New("the guest rebooted before it was up"))
	}
}

func (e *early) end(err error) { e.once.Do(func() { e.err = err; close(e.over) }) }

// The most disks that a guest can get that goes on from where it was saved, so that there is room for some more later.
const (
	mostPluggedAdapter         = 32
	mostPluggedCloudHypervisor = roomCloudHypervisor - 4
)

// CanCopy says why a guest with so many disks is no copy of another, nil when it can be one.
func (c Choice) CanCopy(disks int) error {
	most := mostPluggedAdapter
	if c.Kind == CloudHypervisor {
		most = mostPluggedCloudHypervisor
	}
	if disks > most {
		return fmt.Errorf("it has %d disks, and a copy of a guest takes %d", disks, most)
	}
	return nil
}

// TemplateFiles are what the VMM writes of a guest that it saves.
func (c Choice) TemplateFiles() []string {
	files := []string{template.ConfigFile, template.StateFile, template.MemoryFile}
	if c.Kind != CloudHypervisor {
		files = append(files, template.DevicesFile)
	}
	return files
}

// Maps says whether the VMM maps a template's memory, which has to be sealed then; one that doesn't reads it.
func (c Choice) Maps() bool { return c.Kind != CloudHypervisor }

// Fit completes the shape of the guest's template by what its VM may get, and what this host is. The adapter looks at the host
// itself, and refuses; cloud-hypervisor would change the guest's clock where the processor can, and go on with another where
// it can't.
func (s Spec) Fit(shape *template.Shape) (err error) {
	if s.Choice.Kind != CloudHypervisor {
		return nil
	}
	shape.MaxCPUs, shape.MaxMemory = s.maxCPUs(), s.maxMemory()
	if shape.Processor, err = processor.Digest(); err != nil {
		return err
	}
	shape.KHz, err = hostKVM.kHz()
	return err
}

// Saved is nil when the guest was saved as Spec.Save wanted, or why it was not.
func (vm *VM) Saved() error { return vm.saved }

// copyTemplate makes the guest a copy of a template, and gives it its disks.
func (vm *VM) copyTemplate(ctx context.Context) error {
	folder, err := vm.handOut(vm.spec.Copy)
	if err == nil {
		err = vm.client.Restore(ctx, ch.RestoreConfig{SourceUrl: "file://" + folder})
	}
	if err = errors.Join(err, vm.clearTable()); err != nil {
		return vm.vmmError(ctx, "copy the template", err)
	}
	vm.followConsole()
	return vm.goOn(ctx)
}

// bootAndSave boots the guest without its disks, saves it when it waits to be configured, and gives it the disks. That it can't
// be saved is no reason to do without it.
func (vm *VM) bootAndSave(ctx context.Context) error {
	folder, err := vm.layTable()
	if err != nil {
		return vm.vmmError(ctx, "boot VM", err)
	}
	c := vm.spec.config()
	c.Disks = nil
	c.Memory.Shared = new(true)
	if err := vm.boot(ctx, c); err != nil {
		return err
	}
	if err := vm.awaitAgent(ctx); err != nil {
		return err
	}
	if err := vm.client.Pause(ctx); err != nil {
		return vm.vmmError(ctx, "pause VM", err)
	}
	if vm.saved == nil {
		vm.saved = vm.client.Snapshot(ctx, "file://"+folder)
	}
	if vm.saved == nil {
		vm.saved = vm.takeIn(vm.spec.Save)
	}
	vm.saved = errors.Join(vm.saved, vm.clearTable())
	return vm.goOn(ctx)
}

// awaitAgent returns when the guest waits to be configured, or, with vm.saved, when it is not worth saving.
func (vm *VM) awaitAgent(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, vm.spec.Patience)
	defer cancel()
	if vm.spec.Choice.Kind == CloudHypervisor {
		vm.owned.Go(func() {
			if vm.touch(waiting) == nil {
				vm.early.end(nil)
			}
		})
	}
	select {
	case <-vm.early.over:
		vm.saved = vm.early.err
		return nil
	case <-vm.process.exited:
		return vm.vmmError(ctx, "boot VM", errors.New("the VMM ended"))
	case <-waiting.Done():
		if ctx.Err() != nil {
			return vm.vmmError(ctx, "boot VM", context.Cause(ctx))
		}
		return vm.Crash("boot", fmt.Sprintf("no agent after %s", vm.spec.Patience))
	}
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
