package machine

import (
	"path/filepath"

	"microagent/ch"
	"microagent/runtime/layout"
)

// guestCID is the guest's address on its own vsock; it means nothing outside the VM.
const guestCID = 3

// path makes a path of the spec absolute: the VMM does not work in its folder, but in the one of its sockets.
func (s Spec) path(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(s.Folder, path)
}

// config is the spec as the API takes it. What has a default that bites is always said: image_type (else the
// first sector can't be written), id and serial of each disk, console off (else it takes over our terminal).
func (s Spec) config() ch.VmConfig {
	c := ch.VmConfig{
		Payload: &ch.PayloadConfig{
			Kernel: new(s.Boot.Kernel), Initramfs: new(s.Boot.Initramfs), Cmdline: new(s.Boot.Cmdline),
		},
		Rng:     &ch.RngConfig{Src: "/dev/urandom"},
		Serial:  &ch.SerialConfig{Mode: ch.ConsoleSocket, Socket: new("./" + filepath.Base(layout.SerialSocket))},
		Console: &ch.ConsoleConfig{Mode: ch.ConsoleOff},
		Vsock:   &ch.VsockConfig{Cid: guestCID, Socket: "./" + filepath.Base(layout.VsockSocket)},
	}
	c.Cpus, c.Memory = s.size()
	c.Disks = s.disks()
	if s.Choice.Kind == CloudHypervisor && canLandlock() {
		c.LandlockEnable = new(true)
		c.LandlockRules = s.rulesOfCloudHypervisor()
	}
	return c
}

// rulesOfCloudHypervisor are what it may open besides the files of its configuration; nil where it is not confined.
func (s Spec) rulesOfCloudHypervisor() []ch.LandlockConfig {
	if !canLandlock() {
		return nil
	}
	// Of a folder that is gone the VMM takes no change of its VM any more: so this one holds all that comes and goes.
	rules := []ch.LandlockConfig{{Path: filepath.Join(s.Folder, layout.PluggedDir), Access: "rw"}}
	if s.Save == nil && s.Copy == nil {
		return rules
	}
	for _, d := range s.Disks { // that its configuration does not have yet
		access := "rw"
		if d.ReadOnly {
			access = "r"
		}
		rules = append(rules, ch.LandlockConfig{Path: s.path(d.Path), Access: access})
	}
	return rules
}

func (s Spec) disks() []ch.DiskConfig {
	var list []ch.DiskConfig
	for _, d := range s.Disks {
		list = append(list, s.disk(d))
	}
	return list
}

func (s Spec) disk(d Disk) ch.DiskConfig {
	return ch.DiskConfig{
		Id: new(d.Serial), Serial: new(d.Serial), Path: new(s.path(d.Path)), Readonly: new(d.ReadOnly), ImageType: new(ch.ImageRaw),
	}
}
