package control

import (
	"time"

	"microagent/runtime/driver"
	"microagent/schema/spec"
)

// runWire is a driver.Run as it goes over the wire and down the ready pipe. Its fields are frozen; a new one is optional, and
// its zero means what was true before it.
type runWire struct {
	ID          string               `json:"id"`
	Key         string               `json:"key,omitempty"`
	Phase       driver.Phase         `json:"phase"`
	Started     time.Time            `json:"started"`
	Ready       *time.Time           `json:"ready,omitempty"`
	Ended       *time.Time           `json:"ended,omitempty"`
	ExitCode    *int                 `json:"exit_code,omitempty"`
	Stopped     bool                 `json:"stopped,omitempty"`
	TimedOut    bool                 `json:"timed_out,omitempty"`
	OutOfMemory string               `json:"out_of_memory,omitempty"`
	Readiness   *readinessShape      `json:"readiness,omitempty"`
	Restarts    *restartsShape       `json:"restarts,omitempty"`
	LossOf      string               `json:"loss_of,omitempty"`
	Waits       string               `json:"waits,omitempty"`
	Error       string               `json:"error,omitempty"`
	Console     []string             `json:"console,omitempty"`
	PID         int                  `json:"pid"`
	BootID      string               `json:"boot_id"`
	Start       uint64               `json:"start"`
	Tool        string               `json:"tool"`
	VMM         string               `json:"vmm"`
	Hardware    bool                 `json:"hardware"`
	Sandbox     *sandboxShape        `json:"sandbox,omitempty"`
	Boot        *bootShape           `json:"boot,omitempty"`
	Collected   []fetchedShape       `json:"collected,omitempty"`
	SpecDigest  string               `json:"spec_digest"`
	Ports       []spec.PortState     `json:"ports,omitempty"`
	Network     *driver.NetworkState `json:"network,omitempty"`
	Live        *driver.Live         `json:"live,omitempty"`
	DiskFaults  []faultShape         `json:"disk_faults,omitempty"`
	Diagnostics []string             `json:"diagnostics,omitempty"`
}

// sandboxShape and fetchedShape are parts of a run, on the wire and in its record.
type sandboxShape struct {
	Seccomp  bool `json:"seccomp"`
	Landlock bool `json:"landlock"`
}

type bootShape struct {
	Template string `json:"template,omitempty"`
	Why      string `json:"why,omitempty"`
	Saved    bool   `json:"saved,omitempty"`
	Refused  bool   `json:"refused,omitempty"`
}

type readinessShape struct {
	Probe string            `json:"probe"`
	State driver.ReadyState `json:"state"`
	Since time.Time         `json:"since"`
	Words string            `json:"words,omitempty"`
}

type restartsShape struct {
	Count int        `json:"count"`
	Next  *time.Time `json:"next,omitempty"`
	Why   string     `json:"why"`
}

type faultShape struct {
	Disk    string    `json:"disk"`
	NoSpace bool      `json:"no_space,omitempty"`
	Reason  string    `json:"reason"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	Count   int       `json:"count"`
}

type fetchedShape struct {
	Name      string   `json:"name"`
	From      string   `json:"from"`
	Path      string   `json:"path"`
	Bytes     int64    `json:"bytes"`
	Files     int      `json:"files"`
	Digest    string   `json:"digest"`
	WithGit   string   `json:"with_git,omitempty"`
	Error     string   `json:"error,omitempty"`
	Missing   bool     `json:"missing,omitempty"`
	Unchanged bool     `json:"unchanged,omitempty"`
	Older     int      `json:"older,omitempty"`
	Names     []string `json:"left_out,omitempty"`
	Count     int      `json:"left_out_count,omitempty"`
}

func runWireOf(r driver.Run) runWire {
	to := runWire{
		ID: r.ID, Key: r.Key, Phase: r.Phase, Started: r.Started, Ready: r.Ready, Ended: r.Ended,
		ExitCode: r.ExitCode, Stopped: r.Stopped, TimedOut: r.TimedOut, OutOfMemory: r.OutOfMemory, LossOf: r.LossOf, Waits: r.Waits, Error: r.Error,
		Console: r.Console, PID: r.PID, BootID: r.BootID, Start: r.Start, Tool: r.Tool, VMM: r.VMM,
		Hardware: r.Hardware, SpecDigest: r.SpecDigest, Diagnostics: r.Diagnostics, Ports: r.Ports, Network: r.Network, Live: r.Live,
	}
	if r.Sandbox != nil {
		to.Sandbox = new(sandboxShape(*r.Sandbox))
	}
	if r.Boot != nil {
		to.Boot = new(bootShape(*r.Boot))
	}
	if r.Readiness != nil {
		to.Readiness = new(readinessShape(*r.Readiness))
	}
	if r.Restarts != nil {
		to.Restarts = new(restartsShape(*r.Restarts))
	}
	for _, f := range r.DiskFaults {
		to.DiskFaults = append(to.DiskFaults, faultShape(f))
	}
	to.Collected = fetchedShapes(r.Collected)
	return to
}

func fetchedShapes(list []driver.Fetched) (shapes []fetchedShape) {
	for _, f := range list {
		shapes = append(shapes, fetchedShape{
			Name: f.Name, From: f.From, Path: f.Path, Bytes: f.Bytes, Files: f.Files, Digest: f.Digest,
			WithGit: f.WithGit, Error: f.Error, Missing: f.Missing, Unchanged: f.Unchanged, Older: f.Older,
			Names: f.Names, Count: f.Count,
		})
	}
	return shapes
}

func fetchedOf(shapes []fetchedShape) (list []driver.Fetched) {
	for _, f := range shapes {
		list = append(list, driver.Fetched{
			Name: f.Name, From: f.From, Path: f.Path, Bytes: f.Bytes, Files: f.Files, Digest: f.Digest,
			WithGit: f.WithGit, Error: f.Error, Missing: f.Missing, Unchanged: f.Unchanged, Older: f.Older,
			LeftOut: driver.LeftOut{Names: f.Names, Count: f.Count},
		})
	}
	return list
}

func (r runWire) run() driver.Run {
	to := driver.Run{
		ID: r.ID, Key: r.Key, Phase: r.Phase, Started: r.Started, Ready: r.Ready, Ended: r.Ended,
		ExitCode: r.ExitCode, Stopped: r.Stopped, TimedOut: r.TimedOut, OutOfMemory: r.OutOfMemory, LossOf: r.LossOf, Waits: r.Waits, Error: r.Error,
		Console: r.Console, PID: r.PID, BootID: r.BootID, Start: r.Start, Tool: r.Tool, VMM: r.VMM,
		Hardware: r.Hardware, SpecDigest: r.SpecDigest, Diagnostics: r.Diagnostics, Ports: r.Ports, Network: r.Network, Live: r.Live,
	}
	if r.Sandbox != nil {
		to.Sandbox = new(driver.Sandbox(*r.Sandbox))
	}
	if r.Boot != nil {
		to.Boot = new(driver.Boot(*r.Boot))
	}
	if r.Readiness != nil {
		to.Readiness = new(driver.Readiness(*r.Readiness))
	}
	if r.Restarts != nil {
		to.Restarts = new(driver.Restarts(*r.Restarts))
	}
	for _, f := range r.DiskFaults {
		to.DiskFaults = append(to.DiskFaults, driver.DiskFault(f))
	}
	to.Collected = fetchedOf(r.Collected)
	return to
}
