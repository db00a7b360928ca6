package control

import (
	"time"

	"microagent/runtime/driver"
	"microagent/schema/spec"
)

// runRecord is run.json. A new field is optional, and its zero means what was true before it. It is a shape of its own: as
// long as it has the fields of runWire it is converted whole, and one that either gains alone does not compile until
// somebody says here what becomes of it.
type runRecord struct {
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

func runRecordOf(r driver.Run) runRecord { return runRecord(runWireOf(r)) }

func (r runRecord) run() driver.Run { return runWire(r).run() }
