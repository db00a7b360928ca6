package view

import (
	"math"
	"time"

	"microagent/runtime/driver"
)

// Usage is what a workspace that runs takes. Sizes are bytes.
type Usage struct {
	Workspace string    `json:"workspace"`
	Time      time.Time `json:"time"`
	Host      HostUse   `json:"host"`            // as the host's kernel counts
	Guest     *GuestUse `json:"guest,omitempty"` // as the guest says, which may say anything
	Why       string    `json:"no_guest,omitempty"`
}

// HostUse is what it takes of the host.
type HostUse struct {
	CPUPercent *float64   `json:"cpu_percent,omitempty"` // of one CPU, since the look before
	Supervisor ProcessUse `json:"supervisor"`
	VMM        ProcessUse `json:"vmm"`
	Disks      []ImageUse `json:"disks"`
}

// ProcessUse is what processes take.
type ProcessUse struct {
	Processes  int     `json:"processes"`
	CPUSeconds float64 `json:"cpu_seconds"` // since they were started
	RSS        int64   `json:"rss"`
	Private    int64   `json:"private"`
	Read       int64   `json:"read"`
	Written    int64   `json:"written"`
}

// ImageUse is a disk image on the host.
type ImageUse struct {
	Name      string `json:"name"` // "rootfs", or a volume's
	Size      int64  `json:"size"`
	Allocated int64  `json:"allocated"`
}

// GuestUse is what a guest says of itself.
type GuestUse struct {
	CPUs       int          `json:"cpus"`
	CPUPercent *float64     `json:"cpu_percent,omitempty"` // of one CPU, since the look before
	Load       [3]float64   `json:"load"`
	Memory     int64        `json:"memory"`
	Used       int64        `json:"used"`
	Tasks      int          `json:"tasks"`
	Disks      []FileSystem `json:"disks"`
}

// FileSystem is how full one is.
type FileSystem struct {
	Path string `json:"path"`
	Size int64  `json:"size"`
	Used int64  `json:"used"`
}

// OfUsage shows what a workspace takes now; before is what it took earlier, nil where nobody looked.
func OfUsage(before *driver.Usage, now driver.Usage) Usage {
	v := Usage{Workspace: now.Workspace, Time: now.At, Why: now.Why, Host: HostUse{
		Supervisor: OfProcessUse(now.Host.Supervisor), VMM: OfProcessUse(now.Host.VMM),
		Disks: list(now.Host.Disks, func(d driver.ImageUse) ImageUse { return ImageUse(d) }),
	}}
	if before != nil {
		spent := now.Host.Supervisor.CPU + now.Host.VMM.CPU - before.Host.Supervisor.CPU - before.Host.VMM.CPU
		v.Host.CPUPercent = percent(spent, now.At.Sub(before.At), 1)
	}
	if g := now.Guest; g != nil {
		v.Guest = &GuestUse{CPUs: g.CPUs, Load: g.Load, Memory: g.Memory, Used: g.Used, Tasks: g.Tasks,
			Disks: list(g.Disks, func(f driver.FileSystem) FileSystem { return FileSystem(f) })}
		if before != nil && before.Guest != nil {
			busy, idle := g.Busy-before.Guest.Busy, g.Idle-before.Guest.Idle
			v.Guest.CPUPercent = percent(busy, busy+idle, g.CPUs)
		}
	}
	return v
}

// OfProcessUse shows what processes take.
func OfProcessUse(u driver.ProcessUse) ProcessUse {
	return ProcessUse{u.Processes, u.CPU.Seconds(), u.RSS, u.Private, u.Read, u.Written}
}

// percent is part of whole, of so many CPUs, to a tenth; nil where that is no number. A guest's times may be anything.
func percent(part, whole time.Duration, cpus int) *float64 {
	if part < 0 || whole <= 0 || part > whole*time.Duration(max(1, cpus))*1024 {
		return nil
	}
	return new(math.Round(1000*float64(cpus)*float64(part)/float64(whole)) / 10)
}
