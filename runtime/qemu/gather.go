package qemu

import (
	"context"
	"fmt"
	"slices"
)

// functions is how many devices share a slot. A guest finds all of a slot's at once, when the one of number 0 appears, and
// looking for a new slot is what a guest's time goes into.
const functions = 8

// sit gives a disk its place behind a root port.
func (d *disk) sit(port, function int, shares bool) {
	d.port, d.function, d.shares, d.bdf = port, function, shares, hotBDF(port, function)
	d.place = fmt.Sprintf("bus=%s,addr=0.%d", portName(port), function)
	if shares {
		d.place += ",multifunction=on"
	}
}

// await keeps a disk for when the guest goes on: those that come while it is paused share slots. Its file goes to QEMU at once,
// so that what is wrong with that is said now.
func (m *instance) await(d *disk) error {
	port := slices.Index(m.slots[:], nil)
	function := 0
	if n := len(m.waiting); n%functions != 0 {
		port, function = m.waiting[n-1].port, n%functions
	}
	if port < 0 {
		return because(textDeviceManager, "Failed to find an available PCI device ID", "Could not find an available device slot on the PCI bus")
	}
	m.adopt(d)
	d.sit(port, function, false)
	if m.qmp != nil {
		ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
		defer cancel()
		if err := m.addNode(ctx, d); err != nil {
			m.disks = slices.DeleteFunc(m.disks, func(o *disk) bool { return o == d })
			return wrap(err, textDeviceManager, "Cannot add the disk to QEMU")
		}
	}
	if function == 0 {
		m.slots[port] = d
	}
	m.waiting = append(m.waiting, d)
	return nil
}

// plugWaiting gives the guest what waits. Of each slot the function 0 comes last: QEMU takes no other after it.
func (m *instance) plugWaiting() error {
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	for group := range slices.Chunk(m.waiting, functions) {
		for _, d := range slices.Backward(group) {
			d.sit(d.port, d.function, len(group) > 1)
			if m.qmp == nil {
				continue
			}
			if err := m.addDevice(ctx, d); err != nil {
				return wrap(err, textDeviceManager, "Cannot add the disk to QEMU")
			}
		}
	}
	m.waiting = nil
	return nil
}
