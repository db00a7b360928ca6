package qemu

import (
	"slices"
	"strings"

	"microagent/ch/api"
)

// minMemory is what a guest needs at the least: with less QEMU starts and the kernel never comes up.
const minMemory = 128 << 20

// maxSerial is the length of a disk's serial in bytes; QEMU would cut a longer one without a word.
const maxSerial = 20

// validate checks a whole configuration as vm.boot and the add calls do; vm.create checks nothing.
func validate(c api.VmConfig) error {
	p := c.Payload
	switch {
	case p == nil || deref(p.Kernel) == "" && deref(p.Firmware) == "":
		return because(textValidate, "Payload configuration is not bootable", "No bootitem provided: neither firmware nor kernel")
	case deref(p.Kernel) != "" && deref(p.Firmware) != "":
		return because(textValidate, "Payload configuration is not bootable", "Specifying a kernel is not supported when a firmware is provided")
	case deref(p.Firmware) != "":
		return unsupported("payload.firmware: a kernel is needed")
	}
	if c.Cpus.MaxVcpus < c.Cpus.BootVcpus {
		return invalid("Max CPUs (%d) lower than boot CPUs (%d)", c.Cpus.MaxVcpus, c.Cpus.BootVcpus)
	}
	if c.Cpus.BootVcpus == 0 || c.Cpus.BootVcpus > 255 {
		return unsupported("cpus.boot_vcpus: 1 to 255")
	}
	if c.Memory.Size < minMemory {
		return unsupported("memory.size: 128 MiB or more")
	}
	if c.Memory.Size%4096 != 0 {
		return invalid("Memory size is misaligned with default page size or its hugepage size")
	}
	if deref(c.Memory.Shared) && deref(c.Memory.Mergeable) {
		return invalid("Invalid to set both 'mergeable' and 'shared' for memory")
	}
	for _, u := range []struct {
		asked bool
		name  string
	}{
		{deref(c.Memory.Hugepages), "memory.hugepages"},
		{deref(c.Memory.HotplugSize) > 0, "memory.hotplug_size"},
		{deref(c.Watchdog), "watchdog"},
		{deref(c.LandlockEnable), "landlock_enable"},
		{c.Console.Mode != api.ConsoleModeOff && c.Console.Mode != api.ConsoleModeNull, "console: mode Off only"},
		{c.Serial.Mode == api.ConsoleModePty || c.Serial.Mode == api.ConsoleModeTty, "serial: modes Off, Null, File and Socket only"},
	} {
		if u.asked {
			return unsupported(u.name)
		}
	}
	return validateDevices(c)
}

func validateDevices(c api.VmConfig) error {
	var taken []string
	take := func(id *string) error {
		if id == nil {
			return nil
		}
		if strings.HasPrefix(*id, "__") {
			return invalid("Identifier %s is not invalid", *id)
		}
		if slices.Contains(taken, *id) {
			return invalid("Identifier %s is not unique", *id)
		}
		taken = append(taken, *id)
		return nil
	}
	for _, d := range c.Disks {
		if err := validateDisk(d, c.Cpus.BootVcpus); err != nil {
			return err
		}
		if err := take(d.Id); err != nil {
			return err
		}
	}
	if len(c.Disks) > maxColdDisks {
		return because(textDeviceManager, "Failed to find an available PCI device ID", "Could not find an available device slot on the PCI bus")
	}
	if v := c.Vsock; v != nil {
		if v.Cid <= 2 || v.Cid == 1<<32-1 {
			return invalid("%d is a special VSOCK CID", v.Cid)
		}
		return take(v.Id)
	}
	return nil
}

func validateDisk(d api.DiskConfig, vcpus uint32) error {
	size := *d.QueueSize
	switch {
	case *d.NumQueues > int(vcpus):
		return invalid("Queue count (%d) must not exceed boot vCPUs (%d)", *d.NumQueues, vcpus)
	case *d.NumQueues < 1:
		return unsupported("disks[].num_queues: 1 or more")
	case size == 0 || size&(size-1) != 0 || size > 32768:
		return invalid("Queue size must be a power of 2 no greater than 32768: %d", size)
	case size <= 2:
		return invalid("Block queue size must be greater than 2: %d", size)
	case size > 1024:
		return unsupported("disks[].queue_size: 1024 or less")
	case len(deref(d.Serial)) > maxSerial:
		return invalid("Block device serial length (%d) exceeds maximum allowed length (20)", len(*d.Serial))
	case strings.ContainsRune(deref(d.Serial), 0):
		return unsupported("disks[].serial: no NUL bytes")
	case deref(d.PciSegment) != 0:
		return invalid("Invalid PCI segment id: %d", *d.PciSegment)
	case d.PciDeviceId != nil:
		return unsupported("disks[].pci_device_id")
	}
	return nil
}
