package view

import (
	"cmp"
	"time"

	"microagent/plan/observed"
	"microagent/runtime/driver"
	"microagent/schema/spec"
)

// Workspace is a workspace as it stands, with its newest run. Sizes are bytes.
type Workspace struct {
	Spec    Spec      `json:"spec"`
	ID      string    `json:"id"` // of this incarnation of the root file system
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
	Folder  string    `json:"folder"` // where its files are kept
	State   string    `json:"state"`  // the word of list: "created", "running", "exited(1)", "back-off(4s)"
	Run     *Run      `json:"run,omitempty"`
	// Loss is of the newest run that ended by itself, whether it was shown or not.
	Loss *Loss `json:"loss,omitempty"`
	// RootFSMissing says that the record is there and the root file system is not.
	RootFSMissing bool `json:"rootfs_missing,omitempty"`
	// Again says that a reset was cut short, and that the next one starts it.
	Again bool `json:"again,omitempty"`
	// Silent says that the guest runs and did not answer.
	Silent       bool   `json:"silent,omitempty"`
	RecordDigest string `json:"record_digest"`
	// Kept is the root file system before, absent when none is kept.
	Kept *Kept `json:"kept,omitempty"`
}

// Spec is what makes a workspace, with all that its image says merged in.
type Spec struct {
	Name        string        `json:"name"`
	Project     string        `json:"project,omitempty"`
	Image       string        `json:"image"`
	ImageDigest string        `json:"image_digest"`
	RootFS      string        `json:"rootfs"` // key of the cached disk that the root file system came from
	DiskSize    int64         `json:"disk_size"`
	CPUs        int           `json:"cpus"`
	Memory      int64         `json:"memory"`
	MaxCPUs     int           `json:"max_cpus,omitempty"`   // what it may get while it runs; absent: as many as cpus
	MaxMemory   int64         `json:"max_memory,omitempty"` // likewise
	Mounts      []Mount       `json:"mounts,omitempty"`
	Process     Process       `json:"process"`
	Outputs     []Output      `json:"outputs,omitempty"`
	Ports       []Port        `json:"ports,omitempty"`
	Network     *spec.Network `json:"network,omitempty"` // what its guest may reach; absent: no network at all
	Ready       *Ready        `json:"ready,omitempty"`
	Restart     string        `json:"restart"`   // never, on-failure, always
	Isolation   string        `json:"isolation"` // any, hardware
	Boot        string        `json:"boot"`      // template, fresh
	OneShot     bool          `json:"one_shot,omitempty"`
	StopGrace   time.Duration `json:"stop_grace,omitempty"` // nanoseconds
}

// Ready is the probe that tells when a workspace is ready.
type Ready struct {
	Exec        []string      `json:"exec,omitempty"`
	Port        int           `json:"port,omitempty"`
	Log         string        `json:"log,omitempty"`
	File        string        `json:"file,omitempty"`
	Interval    time.Duration `json:"interval"` // nanoseconds, as are the others
	Timeout     time.Duration `json:"timeout"`
	StartPeriod time.Duration `json:"start_period"`
	Failures    int           `json:"failures"`
	OnLoss      string        `json:"on_loss"` // show, restart
}

// Process is what runs in the guest.
type Process struct {
	Mode        string            `json:"mode"` // task, service, idle
	Argv        []string          `json:"argv,omitempty"`
	Env         map[string]string `json:"env,omitempty"` // names alone: each value is "(hidden)"
	User        string            `json:"user,omitempty"`
	Workdir     string            `json:"workdir,omitempty"`
	Hostname    string            `json:"hostname,omitempty"`
	StopSignal  string            `json:"stop_signal,omitempty"`
	Directories []string          `json:"directories,omitempty"`
	Timeout     time.Duration     `json:"timeout,omitempty"` // nanoseconds
}

// Mount is a disk at a guest path.
type Mount struct {
	Path     string `json:"path"`
	Kind     string `json:"kind"` // volume, bundle, disk
	Name     string `json:"name"`
	Source   string `json:"source"`
	DiskID   string `json:"disk_id,omitempty"`
	ReadOnly bool   `json:"read_only,omitempty"`
	Owner    string `json:"owner,omitempty"`
	Mode     uint32 `json:"mode,omitempty"`
}

// Output is what a task leaves in the guest for its user.
type Output struct {
	Name           string `json:"name"`
	Path           string `json:"path"`
	Limit          int64  `json:"limit,omitempty"`
	Optional       bool   `json:"optional,omitempty"`
	MayBeUnchanged bool   `json:"may_be_unchanged,omitempty"`
}

// OfWorkspace shows a workspace.
func OfWorkspace(ws driver.Workspace) Workspace {
	v := Workspace{Spec: ofSpec(ws.Spec), ID: ws.ID, Created: ws.Created, Updated: ws.Updated, Folder: ws.Folder, State: State(ws),
		RootFSMissing: ws.RootFSMissing, Again: ws.Again, Silent: ws.Silent, RecordDigest: ws.RecordDigest}
	if ws.Loss != nil {
		v.Loss = new(ofLoss(*ws.Loss))
	}
	if ws.Run != nil {
		v.Run = new(OfRun(*ws.Run))
	}
	return v
}

// OfWorkspaces shows several.
func OfWorkspaces(all []driver.Workspace) []Workspace { return list(all, OfWorkspace) }

func ofSpec(s driver.WorkspaceSpec) Spec {
	v := Spec{
		Name: s.Name, Project: s.Project, Image: s.Image, ImageDigest: s.ImageDigest, RootFS: s.RootFS, DiskSize: s.DiskSize,
		CPUs: s.CPUs, Memory: s.Memory, MaxCPUs: s.MaxCPUs, MaxMemory: s.MaxMemory, Network: s.Network, Mounts: list(s.Mounts, ofMount), Process: ofProcess(s.Process),
		Outputs: list(s.Outputs, ofOutput), Ports: list(s.Ports, ofPort), Isolation: string(s.Isolation), Boot: string(cmp.Or(s.Boot, spec.BootTemplate)), OneShot: s.OneShot, StopGrace: s.StopGrace,
		Restart: string(s.Restart.Of(s.Process.Mode)),
	}
	if r := s.Ready; r != nil {
		v.Ready = &Ready{r.Exec, int(r.Port), r.Log, r.File, r.Interval, r.Timeout, r.StartPeriod, r.Failures, string(r.OnLoss)}
	}
	return v
}

func ofProcess(p spec.Process) Process {
	v := Process{
		Mode: string(p.Mode), Argv: p.Argv, User: p.User, Workdir: p.Workdir, Hostname: p.Hostname, StopSignal: p.StopSignal,
		Directories: p.Directories, Timeout: p.Timeout,
	}
	if len(p.Env) > 0 {
		v.Env = observed.HideEnv(p.Env)
	}
	return v
}

func ofMount(m spec.Mount) Mount {
	return Mount{Path: m.Path, Kind: string(m.Kind), Name: m.Name, Source: m.Source, DiskID: m.DiskID, ReadOnly: m.ReadOnly,
		Owner: m.Owner, Mode: m.Mode}
}

func ofOutput(o spec.Output) Output {
	return Output{Name: o.Name, Path: o.Path, Limit: o.Limit, Optional: o.Optional, MayBeUnchanged: o.MayBeUnchanged}
}
