package view

import (
	"time"

	"microagent/runtime/driver"
	"microagent/schema/spec"
)

// Run is the story of one execution.
type Run struct {
	ID          string               `json:"id"`
	Key         string               `json:"key,omitempty"`
	Phase       string               `json:"phase"` // starting, ready, running, finished, failed, lost
	Started     time.Time            `json:"started"`
	Ready       *time.Time           `json:"ready,omitempty"`
	Ended       *time.Time           `json:"ended,omitempty"`
	ExitCode    *int                 `json:"exit_code,omitempty"` // of the task or service; 128+n for a signal
	Stopped     bool                 `json:"stopped,omitempty"`   // it ended because a stop asked for it
	TimedOut    bool                 `json:"timed_out,omitempty"`
	OutOfMemory bool                 `json:"out_of_memory,omitempty"` // the guest's kernel killed for want of it, and so it ended
	Readiness   *Readiness           `json:"readiness,omitempty"`     // of a workspace with ready
	Restarts    *Restarts            `json:"restarts,omitempty"`      // of a run that began by itself in the place of another
	Waits       string               `json:"waits,omitempty"`         // what a start takes long for, while it does
	Error       string               `json:"error,omitempty"`
	Console     []string             `json:"console,omitempty"` // last console lines of a failed run
	PID         int                  `json:"pid"`               // of its supervisor
	Tool        string               `json:"tool"`
	VMM         string               `json:"vmm"`      // "cloud-hypervisor v53.0.0", "qemu 7.2.22 (tcg)"
	Hardware    bool                 `json:"hardware"` // isolated by hardware virtualisation
	Sandbox     *Sandbox             `json:"sandbox,omitempty"`
	Boot        *Boot                `json:"boot,omitempty"`
	Collected   []Collected          `json:"collected,omitempty"`
	Ports       []Port               `json:"ports,omitempty"`
	Network     *driver.NetworkState `json:"network,omitempty"` // what the guest may reach now, how much was denied and dropped, and how many connections are open
	VM          *spec.VM             `json:"vm,omitempty"`      // what the VMM says of its VM while the guest is there
	SpecDigest  string               `json:"spec_digest"`
	DiskFaults  []DiskFault          `json:"disk_faults,omitempty"`
	Diagnostics []string             `json:"diagnostics,omitempty"`
}

// Readiness is what the probe of a run says.
type Readiness struct {
	Probe string    `json:"probe"` // "port 8080"
	State string    `json:"state"` // waiting, ready, never, lost; ended of a run that was waiting or ready when it ended
	Since time.Time `json:"since"`
	Words string    `json:"words,omitempty"` // of the last probe that failed
}

// Restarts is what a run knows of those in whose place it began.
type Restarts struct {
	Count int        `json:"count"`          // since a command started the workspace
	Next  *time.Time `json:"next,omitempty"` // when its guest boots, while that is waited for
	Why   string     `json:"why"`            // how the one before it ended
}

// DiskFault is what the host could not do of what the guest asked of a disk, which was told of an I/O error.
type DiskFault struct {
	Disk    string    `json:"disk"`               // "the root file system", "volume data"
	NoSpace bool      `json:"no_space,omitempty"` // the host's file system is full
	Reason  string    `json:"reason"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	Count   int       `json:"count"` // how often the VMM told of it, once a second at most; 0 where it tells nothing
}

// Sandbox is what the VMM's process is confined by.
type Sandbox struct {
	Seccomp  bool `json:"seccomp"`
	Landlock bool `json:"landlock"`
}

// Boot is how the guest came to be.
type Boot struct {
	Template string `json:"template,omitempty"` // id of the template that it is a copy of; of none, it booted
	Why      string `json:"why,omitempty"`      // why it booted
	Saved    bool   `json:"saved,omitempty"`    // as a template for later starts
	Refused  bool   `json:"refused,omitempty"`  // no template is of use to it: it fits none, or copying and saving did not work
}

// Collected is an output that was brought out of a guest.
type Collected struct {
	Name      string `json:"name"`
	From      string `json:"from"` // the guest path
	Path      string `json:"path"`
	Bytes     int64  `json:"bytes"`
	Files     int    `json:"files"`
	Digest    string `json:"digest"`
	WithGit   string `json:"with_git,omitempty"`
	Error     string `json:"error,omitempty"` // why it is not there
	Missing   bool   `json:"missing,omitempty"`
	Unchanged bool   `json:"unchanged,omitempty"`
	Older     int    `json:"older,omitempty"`
	LeftOut
}

// LeftOut is what did not come along: names of the first few git folders, and how many there were.
type LeftOut struct {
	Names []string `json:"left_out,omitempty"`
	Count int      `json:"left_out_count,omitempty"`
}

// OfLeftOut shows what was left out.
func OfLeftOut(l driver.LeftOut) LeftOut { return LeftOut{Names: l.Names, Count: l.Count} }

// OfRun shows a run.
func OfRun(r driver.Run) Run {
	v := Run{
		ID: r.ID, Key: r.Key, Phase: string(r.Phase), Started: r.Started, Ready: r.Ready, Ended: r.Ended, ExitCode: r.ExitCode,
		Stopped: r.Stopped, TimedOut: r.TimedOut, OutOfMemory: r.OutOfMemory != "", Waits: r.Waits, Error: r.Error, Console: r.Console, PID: r.PID, Tool: r.Tool,
		VMM: r.VMM, Hardware: r.Hardware, Collected: list(r.Collected, OfCollected), Ports: OfPorts(r.Ports), SpecDigest: r.SpecDigest,
		Diagnostics: r.Diagnostics, Network: r.Network, DiskFaults: list(r.DiskFaults, func(f driver.DiskFault) DiskFault { return DiskFault(f) }),
	}
	if r.Readiness != nil {
		v.Readiness = ofReadiness(*r.Readiness, r)
	}
	if r.Restarts != nil {
		v.Restarts = &Restarts{r.Restarts.Count, r.Restarts.Next, r.Restarts.Why}
	}
	if r.Sandbox != nil {
		v.Sandbox = &Sandbox{Seccomp: r.Sandbox.Seccomp, Landlock: r.Sandbox.Landlock}
	}
	if r.Live != nil && r.Phase.Alive() {
		v.VM = r.Live.VM
	}
	if r.Boot != nil {
		v.Boot = new(Boot(*r.Boot))
	}
	return v
}

// ofReadiness shows how a run stands. One that has ended is ready no more and waits for nothing, whatever its probe said
// last; that it was given up before stays true.
func ofReadiness(r driver.Readiness, of driver.Run) *Readiness {
	v := &Readiness{r.Probe, string(r.State), r.Since, r.Words}
	if !of.Phase.Alive() && (r.State == driver.ReadyYes || r.State == driver.ReadyWaiting) {
		v.State = "ended"
		if of.Ended != nil { // nobody saw the end of one that is lost
			v.Since = *of.Ended
		}
	}
	return v
}

// OfCollected shows an output.
func OfCollected(f driver.Fetched) Collected {
	return Collected{
		Name: f.Name, From: f.From, Path: f.Path, Bytes: f.Bytes, Files: f.Files, Digest: f.Digest, WithGit: f.WithGit,
		Error: f.Error, Missing: f.Missing, Unchanged: f.Unchanged, Older: f.Older, LeftOut: OfLeftOut(f.LeftOut),
	}
}

// OutputOf is an output with the workspace that it is of.
type OutputOf struct {
	Workspace string `json:"workspace"`
	Collected
}
