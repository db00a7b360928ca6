package qemu

import (
	"fmt"
	"slices"

	"microagent/ch/api"
)

// withDefaults fills in what vm.info shows of a configuration that says less. Ids come at boot.
func withDefaults(c api.VmConfig) api.VmConfig {
	c = clone(c)
	if c.Cpus == nil {
		c.Cpus = &api.CpusConfig{BootVcpus: 1, MaxVcpus: 1}
	}
	set(&c.Cpus.Nested, true)
	if c.Memory == nil {
		c.Memory = &api.MemoryConfig{Size: 512 << 20}
	}
	m := c.Memory
	set(&m.HotplugMethod, api.MemoryConfigHotplugMethodAcpi)
	set(&m.Mergeable, false)
	set(&m.Shared, false)
	set(&m.Hugepages, false)
	set(&m.Prefault, false)
	set(&m.Thp, true)
	for i := range c.Disks {
		c.Disks[i] = diskDefaults(c.Disks[i])
	}
	if c.Rng == nil {
		c.Rng = &api.RngConfig{Src: "/dev/urandom"}
	}
	if c.Serial == nil {
		c.Serial = &api.SerialConfig{Mode: api.ConsoleModeNull}
	}
	if c.Console == nil {
		c.Console = &api.ConsoleConfig{Mode: api.ConsoleModeOff}
	}
	set(&c.Pvpanic, false)
	set(&c.Watchdog, false)
	set(&c.LandlockEnable, false)
	return c
}

func diskDefaults(d api.DiskConfig) api.DiskConfig {
	set(&d.Readonly, false)
	set(&d.Direct, false)
	set(&d.NumQueues, 1)
	set(&d.QueueSize, 128)
	set(&d.ImageType, api.ImageTypeUnknown)
	set(&d.BackingFiles, false)
	set(&d.Sparse, true)
	set(&d.LockGranularity, api.DiskConfigLockGranularityByteRange)
	set(&d.PciSegment, 0)
	return d
}

func set[T any](field **T, value T) {
	if *field == nil {
		*field = &value
	}
}

// deref gives the value of an optional field, the zero value for none.
func deref[T any](field *T) T {
	if field == nil {
		var zero T
		return zero
	}
	return *field
}

// clone copies what the adapter changes in a configuration that it holds.
func clone(c api.VmConfig) api.VmConfig {
	c.Disks = slices.Clone(c.Disks)
	c.Cpus, c.Memory, c.Vsock = copyOf(c.Cpus), copyOf(c.Memory), copyOf(c.Vsock)
	return c
}

func copyOf[T any](p *T) *T {
	if p == nil {
		return nil
	}
	return new(*p)
}

// ids gives devices without an id one, from a counter that all kinds share.
type ids struct{ next int }

func (n *ids) fill(c *api.VmConfig) {
	for i := range c.Disks {
		n.give(&c.Disks[i].Id, "_disk")
	}
	if c.Vsock != nil {
		n.give(&c.Vsock.Id, "_vsock")
	}
}

func (n *ids) give(id **string, prefix string) {
	if *id == nil {
		*id = new(fmt.Sprintf("%s%d", prefix, n.next))
		n.next++
	}
}
