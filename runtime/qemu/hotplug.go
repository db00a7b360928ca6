package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"microagent/ch/api"
)

// addDisk adds a disk to the configuration, and to the guest where there is one; then it says where it sits.
func (v *vmm) addDisk(c api.DiskConfig) (*api.PciDeviceInfo, error) {
	if v.config == nil {
		return nil, because(textNotCreated)
	}
	c = diskDefaults(c)
	next := clone(*v.config)
	next.Disks = append(next.Disks, c)
	if err := v.check(next); err != nil {
		return nil, err
	}
	m := v.instance
	if m == nil {
		v.config = &next
		return nil, nil
	}
	if c.Id != nil && m.disk(*c.Id) != nil {
		return nil, because(textDeviceManager, "Invalid identifier as it is not unique: "+*c.Id)
	}
	v.ids.fill(&next)
	c = next.Disks[len(next.Disks)-1]
	if err := v.host.handed.take(v.host.opened); err != nil {
		return nil, wrap(err, textDeviceManager)
	}
	d, err := openDisk(c, v.host.opened)
	if err != nil {
		return nil, errors.Join(err, v.host.opened.drop(deref(c.Path)))
	}
	err = d.lock()
	if err != nil {
		err = wrap(err, textDeviceManager)
	} else {
		err = m.plug(d)
	}
	if err != nil {
		return nil, errors.Join(err, d.close(), v.host.opened.drop(deref(c.Path)))
	}
	next.Disks[len(next.Disks)-1] = d.config
	v.config = &next
	v.monitor.emit("virtio-device", "activated", map[string]string{"id": *d.config.Id}) // the real program waits for the guest's driver
	return &api.PciDeviceInfo{Id: *d.config.Id, Bdf: d.bdf}, nil
}

// disk gives the disk with an id of the API, also while it is being removed.
func (m *instance) disk(id string) *disk {
	i := slices.IndexFunc(m.disks, func(d *disk) bool { return deref(d.config.Id) == id })
	if i < 0 {
		return nil
	}
	return m.disks[i]
}

// plug puts a disk into a free root port. A paused guest gets it when it goes on.
func (m *instance) plug(d *disk) error {
	if m.state == api.VmStatePaused {
		return m.await(d)
	}
	port := slices.Index(m.slots[:], nil)
	if port < 0 {
		return because(textDeviceManager, "Failed to find an available PCI device ID", "Could not find an available device slot on the PCI bus")
	}
	m.adopt(d)
	d.sit(port, 0, false)
	if err := m.plugged(d); err != nil {
		m.disks = slices.DeleteFunc(m.disks, func(o *disk) bool { return o == d })
		return wrap(err, textDeviceManager, "Cannot add the disk to QEMU")
	}
	m.slots[port] = d
	return nil
}

func (m *instance) plugged(d *disk) error {
	if m.qmp == nil {
		return nil // a VM whose boot failed has no QEMU to tell
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	if err := m.addNode(ctx, d); err != nil {
		return err
	}
	if err := m.addDevice(ctx, d); err != nil {
		return errors.Join(err, m.dropNode(ctx, d))
	}
	return nil
}

func (m *instance) addNode(ctx context.Context, d *disk) error {
	if _, err := m.qmp.run(ctx, "add-fd", map[string]any{"fdset-id": d.set}, d.file); err != nil {
		return err
	}
	if _, err := m.qmp.run(ctx, "blockdev-add", blockNode(d).object()); err != nil {
		return errors.Join(err, m.dropSet(ctx, d))
	}
	return nil
}

func (m *instance) addDevice(ctx context.Context, d *disk) error {
	device := blockDevice(d).object()
	device["bus"], device["addr"] = portName(d.port), fmt.Sprintf("0.%d", d.function)
	if d.shares {
		device["multifunction"] = true
	}
	_, err := m.qmp.run(ctx, "device_add", device)
	return err
}

func (m *instance) dropNode(ctx context.Context, d *disk) error {
	_, err := m.qmp.run(ctx, "blockdev-del", map[string]any{"node-name": d.node()})
	return errors.Join(err, m.dropSet(ctx, d))
}

func (m *instance) dropSet(ctx context.Context, d *disk) error {
	_, err := m.qmp.run(ctx, "remove-fd", map[string]any{"fdset-id": d.set})
	if qe, ok := errors.AsType[*qmpError](err); ok && qe != nil {
		return nil // it went with its last user
	}
	return err
}

// removeDevice asks the guest to let go of a device. It leaves the configuration at once.
func (v *vmm) removeDevice(id string) error {
	if v.config == nil {
		return because(textNotCreated)
	}
	next := clone(*v.config)
	next.Disks = slices.DeleteFunc(next.Disks, func(d api.DiskConfig) bool { return deref(d.Id) == id })
	isVsock := next.Vsock != nil && deref(next.Vsock.Id) == id
	if isVsock {
		next.Vsock = nil
	}
	m := v.instance
	if m == nil {
		if !isVsock && len(next.Disks) == len(v.config.Disks) {
			return because(fmt.Sprintf("No device with id %q to remove", id))
		}
		v.config = &next
		return nil
	}
	d := m.disk(id)
	switch {
	case d == nil && isVsock:
		return wrap(unsupported("vm.remove-device: the vsock device"), textDeviceManager)
	case d == nil || d.gone:
		return because(textDeviceManager, "Failed to find device corresponding to the given identifier: "+id)
	case d.port < 0, d.shares:
		return wrap(unsupported("vm.remove-device: a disk that was there at boot"), textDeviceManager)
	}
	if m.qmp != nil {
		ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
		defer cancel()
		if _, err := m.qmp.run(ctx, "device_del", map[string]any{"id": d.qid}); err != nil {
			return wrap(err, textDeviceManager)
		}
	}
	d.gone = true
	v.config = &next
	return nil
}

// ejected follows the guest's letting go of a device: only now its slot, file and id are free.
func (v *vmm) ejected(m *instance, qid string) {
	i := slices.IndexFunc(m.disks, func(d *disk) bool { return d.qid == qid })
	if i < 0 {
		return
	}
	d := m.disks[i]
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	err := m.dropNode(ctx, d)
	m.disks = slices.Delete(m.disks, i, i+1)
	if d.port >= 0 {
		m.slots[d.port] = nil
	}
	if err = errors.Join(err, d.close(), v.host.opened.drop(deref(d.config.Path))); err != nil {
		v.logf("remove disk %s: %v", deref(d.config.Id), err)
	}
	v.monitor.emit("vm", "device-removed", map[string]string{"id": deref(d.config.Id), "bdf": d.bdf})
}

// resizeDisk gives a disk's file a new size; the guest is told.
func (v *vmm) resizeDisk(id string, size uint64) error {
	if v.config == nil {
		return because(textNotCreated)
	}
	const title = "Failed resizing a disk image"
	m := v.instance
	if m == nil {
		return because(title)
	}
	d := m.disk(id)
	switch {
	case d == nil || d.gone:
		return because(textDeviceManager, "Failed to find device corresponding to the given identifier: "+id)
	case size%sector != 0:
		return because(textDeviceManager, title, "Disk image size is not a multiple of 512")
	case d.length > 0 || m.qmp == nil || size > 1<<62:
		return unsupported("vm.resize-disk: of this disk, in this state")
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	if _, err := m.qmp.run(ctx, "block_resize", map[string]any{"node-name": d.node(), "size": size}); err != nil {
		return wrap(err, textDeviceManager, title)
	}
	return nil
}

// counters gives what each disk counted. A latency is the mean of all operations, since QEMU keeps no extremes.
func (v *vmm) counters() (api.VmCounters, error) {
	m := v.instance
	if m == nil {
		return nil, because(textNotRunning)
	}
	type stats struct {
		ReadBytes  uint64 `json:"rd_bytes"`
		WriteBytes uint64 `json:"wr_bytes"`
		ReadOps    uint64 `json:"rd_operations"`
		WriteOps   uint64 `json:"wr_operations"`
		ReadTime   uint64 `json:"rd_total_time_ns"`
		WriteTime  uint64 `json:"wr_total_time_ns"`
	}
	var list []struct {
		QDev  string `json:"qdev"`
		Stats stats  `json:"stats"`
	}
	if m.qmp != nil {
		ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
		defer cancel()
		answer, err := m.qmp.run(ctx, "query-blockstats", nil)
		if err != nil {
			return nil, wrap(err, textDeviceManager)
		}
		if err := json.Unmarshal(answer, &list); err != nil {
			return nil, wrap(err, textDeviceManager)
		}
	}
	counters := api.VmCounters{}
	for _, d := range m.disks {
		var s stats
		for _, entry := range list {
			if entry.QDev == "/machine/peripheral/"+d.qid+"/virtio-backend" || entry.QDev == d.qid {
				s = entry.Stats
			}
		}
		c := map[string]uint64{"read_bytes": s.ReadBytes, "write_bytes": s.WriteBytes, "read_ops": s.ReadOps, "write_ops": s.WriteOps}
		latencies(c, "read", s.ReadTime, s.ReadOps)
		latencies(c, "write", s.WriteTime, s.WriteOps)
		counters[deref(d.config.Id)] = c
	}
	return counters, nil
}

// latencies fills in a direction's three values: microseconds, or what the real program shows before the first
// operation.
func latencies(c map[string]uint64, direction string, nanos, operations uint64) {
	least, mean, most := ^uint64(0), ^uint64(0)/10000, ^uint64(0)
	if operations > 0 {
		mean = nanos / operations / 1000
		least, most = mean, mean
	}
	c[direction+"_latency_min"], c[direction+"_latency_avg"], c[direction+"_latency_max"] = least, mean, most
}
