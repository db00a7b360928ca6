package qemu

import (
	"context"
	"fmt"

	"microagent/ch/api"
)

// info gives the live configuration and the state.
func (v *vmm) info() (api.VmInfo, error) {
	if v.config == nil {
		return api.VmInfo{}, because(textNotCreated)
	}
	info := api.VmInfo{Config: clone(*v.config), State: api.VmStateCreated, MemoryActualSize: new(v.config.Memory.Size)}
	if v.instance != nil {
		info.State = v.instance.state
		info.DeviceTree = v.instance.tree(*v.config)
	}
	return info, nil
}

// tree lists the devices of an instance. A virtio device has a PCI device as parent, under a name made from its.
func (m *instance) tree(c api.VmConfig) map[string]api.DeviceNode {
	tree := map[string]api.DeviceNode{}
	virtio := func(id, bdf string) {
		parent := "_virtio-pci-" + id
		tree[id] = api.DeviceNode{Id: id, Resources: []any{}, Parent: &parent, Children: []string{}}
		tree[parent] = api.DeviceNode{Id: parent, Resources: []any{}, Children: []string{id}, PciBdf: &bdf}
	}
	for _, d := range m.disks {
		virtio(deref(d.config.Id), d.bdf)
	}
	if c.Rng != nil {
		virtio("__rng", "0000:00:02.0")
	}
	if c.Vsock != nil {
		virtio(deref(c.Vsock.Id), "0000:00:03.0")
	}
	if c.Serial.Mode != api.ConsoleModeOff {
		tree["__serial"] = api.DeviceNode{Id: "__serial", Resources: []any{}, Children: []string{}}
	}
	return tree
}

// command sends QEMU a command that changes the whole VM.
func (m *instance) command(name string) error {
	if m.qmp == nil {
		return nil // a VM whose boot failed has no QEMU to tell
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	_, err := m.qmp.run(ctx, name, nil)
	return err
}

func invalidTransition(verb, verbed string, s api.VmState) error {
	return because(fmt.Sprintf("Cannot %s VM", verb), fmt.Sprintf("Failed to %s migratable component", verb),
		fmt.Sprintf("Invalid transition: InvalidStateTransition(%s, %s)", s, verbed))
}

func (v *vmm) pause() error {
	m := v.instance
	if m == nil {
		return because(textNotRunning)
	}
	v.monitor.emit("vm", "pausing", nil)
	if m.state == api.VmStatePaused {
		return invalidTransition("pause", "Paused", m.state)
	}
	if err := m.command("stop"); err != nil {
		return wrap(err, "Cannot pause VM")
	}
	m.state = api.VmStatePaused
	v.monitor.emit("vm", "paused", nil)
	return nil
}

func (v *vmm) resume() error {
	m := v.instance
	if m == nil {
		return because(textNotRunning)
	}
	v.monitor.emit("vm", "resuming", nil)
	if m.state == api.VmStateRunning {
		return invalidTransition("resume", "Running", m.state)
	}
	if err := m.plugWaiting(); err != nil {
		return wrap(err, "Cannot resume VM")
	}
	if err := m.command("cont"); err != nil {
		return wrap(err, "Cannot resume VM")
	}
	m.state = api.VmStateRunning
	v.monitor.emit("vm", "resumed", nil)
	return nil
}

// press is for the power button and the NMI: it is done, and nobody says whether the guest noticed.
func (v *vmm) press(command string) error {
	if v.instance == nil {
		return because(textNotRunning)
	}
	if err := v.instance.command(command); err != nil {
		return wrap(err, textDeviceManager)
	}
	return nil
}

// resize changes the configuration of a VM that does not run; a running one keeps what it has.
func (v *vmm) resize(r api.VmResize) error {
	if v.config == nil {
		return because(textNotCreated)
	}
	next := clone(*v.config)
	if v.instance == nil {
		if r.DesiredVcpus != nil {
			next.Cpus.BootVcpus = *r.DesiredVcpus
		}
		if r.DesiredRam != nil {
			next.Memory.Size = *r.DesiredRam
		}
		v.config = &next
		return nil
	}
	v.monitor.emit("vm", "resizing", nil)
	switch {
	case r.DesiredVcpus != nil && *r.DesiredVcpus == 0:
		return because("Error from CPU manager", "Requested zero vCPUs")
	case r.DesiredVcpus != nil && *r.DesiredVcpus > next.Cpus.MaxVcpus:
		return because("Error from CPU manager", "Requested vCPUs exceed maximum")
	case r.DesiredVcpus != nil && *r.DesiredVcpus != next.Cpus.BootVcpus:
		return unsupported("vm.resize: vCPUs of a running VM")
	case r.DesiredRam != nil && *r.DesiredRam != next.Memory.Size:
		return unsupported("vm.resize: memory of a running VM")
	case r.DesiredBalloon != nil:
		return because(textDeviceManager, "Missing virtio-balloon, can't proceed as expected")
	}
	v.monitor.emit("vm", "resized", nil)
	return nil
}

// addVsock adds the vsock device to a VM that does not run.
func (v *vmm) addVsock(c api.VsockConfig) (*api.PciDeviceInfo, error) {
	switch {
	case v.config == nil:
		return nil, because(textNotCreated)
	case v.config.Vsock != nil:
		return nil, because("Too many virtio-vsock devices")
	}
	next := clone(*v.config)
	next.Vsock = &c
	if err := v.check(next); err != nil {
		return nil, err
	}
	m := v.instance
	if m == nil {
		v.config = &next
		return nil, nil
	}
	v.ids.fill(&next)
	sock, err := listenVsock(c.Socket, m.link)
	if err != nil {
		return nil, err
	}
	m.vsock = sock
	v.config = &next
	return &api.PciDeviceInfo{Id: *next.Vsock.Id, Bdf: "0000:00:03.0"}, nil
}
