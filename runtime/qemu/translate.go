package qemu

import (
	"fmt"
	"strings"

	"microagent/ch/api"
)

// The bus: slots of pcie.0. 0 is the host bridge and 31 the chipset's own.
const (
	slotFirstDisk = 4
	slotsOfDisks  = 12 // 4 to 15, eight functions each
	slotPorts     = 16
	sparePorts    = 5 // root ports that hot-plugged disks go into, those of a copy's start eight to a port; each costs boot time
	maxColdDisks  = slotsOfDisks * 8
)

// inherited are the file descriptors that QEMU finds open, by what they are for; 0 is none.
type inherited struct{ monitor, channel, serial, memory int }

// launch is all that one start of QEMU depends on.
type launch struct {
	config    api.VmConfig
	disks     []*disk
	diskFDs   []int // of disks, as QEMU sees them
	fds       inherited
	accel     Accel
	cpu       string
	firmware  string // path of qboot; "" for QEMU's own
	kernel    string
	initramfs string
	cmdline   string
	sandbox   bool
	machine   string
	memory    memoryUse
}

// memoryUse is what QEMU does with the descriptor of a guest's memory.
type memoryUse int

const (
	ownMemory    memoryUse = iota // there is none
	sharedMemory                  // the guest's pages are the file's
	copiedMemory                  // the guest's pages are its own once it writes to them; the rest of it comes in
	comingMemory                  // there is none, and it comes in with all the rest
)

// arguments turns a configuration into QEMU's command line. Values that a user chose go where a comma is
// doubled or are arguments of their own.
func (l launch) arguments() []string {
	c := l.config
	a := []string{
		"-no-user-config", "-nodefaults", "-display", "none",
		"-M", l.machineText(), "-accel", l.accelerator(), "-cpu", l.cpu,
		"-m", fmt.Sprintf("%dB", c.Memory.Size), "-smp", fmt.Sprint(c.Cpus.BootVcpus),
		"-kernel", l.kernel, "-append", l.cmdline,
		"-chardev", fmt.Sprintf("socket,id=monitor,fd=%d", l.fds.monitor), "-mon", "chardev=monitor,mode=control",
		"-object", "rng-builtin,id=entropy", "-device", "virtio-rng-pci,rng=entropy,addr=2",
		"-device", "virtio-serial-pci,id=ports,addr=3",
		"-chardev", fmt.Sprintf("socket,id=agent,fd=%d", l.fds.channel),
		"-device", "virtserialport,id=agentport,chardev=agent,name=agent,bus=ports.0",
		"-action", "panic=none",
	}
	if l.memory == sharedMemory || l.memory == copiedMemory {
		share := "on"
		if l.memory == copiedMemory {
			share = "off"
		}
		a = append(a, "-object", fmt.Sprintf("memory-backend-file,id=%s,size=%dB,mem-path=/proc/self/fd/%d,share=%s", memoryNode, c.Memory.Size, l.fds.memory, share))
	}
	if l.memory == copiedMemory || l.memory == comingMemory {
		a = append(a, "-incoming", "defer")
	}
	if l.firmware != "" {
		a = append(a, "-bios", l.firmware)
	}
	if l.initramfs != "" {
		a = append(a, "-initrd", l.initramfs)
	}
	a = append(a, l.serial()...)
	if deref(c.Pvpanic) {
		a = append(a, "-device", "pvpanic-pci")
	}
	for i, d := range l.disks {
		a = append(a,
			"-add-fd", fmt.Sprintf("fd=%d,set=%d", l.diskFDs[i], d.set),
			"-blockdev", blockNode(d).text(),
			"-device", deviceText(blockDevice(d), d.place))
	}
	for i := range sparePorts {
		port := fmt.Sprintf("pcie-root-port,id=%s,chassis=%d,slot=%d,bus=pcie.0,addr=%x.%d,io-reserve=0", portName(i), i+1, i+1, slotPorts, i)
		if i == 0 {
			port += ",multifunction=on"
		}
		a = append(a, "-device", port)
	}
	if l.sandbox {
		a = append(a, "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny")
	}
	return a
}

// memoryNode names the memory that lies in a file.
const memoryNode = "ram"

func (l launch) machineText() string {
	if l.memory == sharedMemory || l.memory == copiedMemory {
		return l.machine + ",memory-backend=" + memoryNode
	}
	return l.machine
}

func (l launch) accelerator() string {
	if l.accel == TCG {
		return "tcg,tb-size=256"
	}
	return string(l.accel)
}

func (l launch) serial() []string {
	switch l.config.Serial.Mode {
	case api.ConsoleModeFile, api.ConsoleModeSocket:
		return []string{"-chardev", fmt.Sprintf("socket,id=console,fd=%d", l.fds.serial), "-serial", "chardev:console"}
	case api.ConsoleModeNull:
		return []string{"-serial", "null"}
	}
	return []string{"-serial", "none"}
}

func portName(i int) string { return fmt.Sprintf("rp%d", i) }

// coldAddress is where the i-th of n boot disks sits. Guests find disks by serial, never by this order.
func coldAddress(i, n int) string {
	address := fmt.Sprintf("bus=pcie.0,addr=%x.%d", slotFirstDisk+i%slotsOfDisks, i/slotsOfDisks)
	if n > slotsOfDisks && i < slotsOfDisks {
		address += ",multifunction=on"
	}
	return address
}

func coldBDF(i int) string {
	return fmt.Sprintf("0000:00:%02x.%d", slotFirstDisk+i%slotsOfDisks, i/slotsOfDisks)
}

// hotBDF is the address behind a root port: the buses are numbered in the ports' order.
func hotBDF(port, function int) string { return fmt.Sprintf("0000:%02x:00.%d", port+1, function) }

// properties are the arguments of a device or block node, in one form for the command line and QMP.
type properties []property

type property struct {
	name  string
	value any // string, bool, int, int64 or properties
}

// object gives the form that QMP takes.
func (p properties) object() map[string]any {
	m := map[string]any{}
	for _, f := range p {
		if inner, ok := f.value.(properties); ok {
			m[f.name] = inner.object()
			continue
		}
		m[f.name] = f.value
	}
	return m
}

// text gives the form that the command line takes.
func (p properties) text() string { return strings.Join(p.flat(""), ",") }

func (p properties) flat(prefix string) []string {
	var list []string
	for _, f := range p {
		switch v := f.value.(type) {
		case properties:
			list = append(list, v.flat(prefix+f.name+".")...)
		case bool:
			word := "off"
			if v {
				word = "on"
			}
			list = append(list, prefix+f.name+"="+word)
		default:
			list = append(list, prefix+f.name+"="+strings.ReplaceAll(fmt.Sprint(v), ",", ",,"))
		}
	}
	return list
}

// blockNode describes a disk's file. QEMU takes no lock of its own (the adapter holds one that it would refuse),
// writes back, and hands discards on.
func blockNode(d *disk) properties {
	discard := "unmap"
	if sparse := d.config.Sparse; sparse != nil && !*sparse {
		discard = "ignore"
	}
	p := properties{
		{"driver", "raw"}, {"node-name", d.node()}, {"read-only", d.readOnly()}, {"discard", discard},
		{"cache", properties{{"direct", deref(d.config.Direct)}, {"no-flush", false}}},
		{"file", properties{
			{"driver", d.fileDriver()}, {"filename", fmt.Sprintf("/dev/fdset/%d", d.set)}, {"locking", "off"},
			{"read-only", d.readOnly()}, {"discard", discard},
			{"cache", properties{{"direct", deref(d.config.Direct)}, {"no-flush", false}}},
		}},
	}
	if d.length > 0 {
		p = append(p, property{"size", d.length})
	}
	return p
}

// fileDriver is QEMU's driver for what the disk lies on: for a file it takes no device, and the other way round.
func (d *disk) fileDriver() string {
	if d.device {
		return "host_device"
	}
	return "file"
}

func blockDevice(d *disk) properties {
	p := properties{
		{"driver", "virtio-blk-pci"}, {"id", d.qid}, {"drive", d.node()},
		{"num-queues", *d.config.NumQueues}, {"queue-size", int(*d.config.QueueSize)},
		// A full host disk is the guest's error, as under Cloud Hypervisor; by default QEMU would stop the guest.
		{"rerror", "report"}, {"werror", "report"},
	}
	if serial := deref(d.config.Serial); serial != "" {
		p = append(p, property{"serial", serial})
	}
	return p
}

// deviceText is a -device argument: the driver comes first there, without a name.
func deviceText(p properties, more string) string {
	return strings.TrimPrefix(p.text(), "driver=") + "," + more
}
