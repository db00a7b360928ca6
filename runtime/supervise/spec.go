package supervise

import (
	"microagent/runtime/driver"
	"microagent/runtime/lease"
	"microagent/runtime/machine"
	"microagent/schema/spec"
)

// Version is the major version of Spec.
const Version = 1

// Spec is all that a supervisor needs to know: one JSON value. It holds the environment of the workspace's process and
// therefore travels by pipe, never by argument list or log.
type Spec struct {
	Version   int                  `json:"version"`
	Tool      string               `json:"tool"`  // version of the microagent that made the spec
	State     string               `json:"state"` // the state directory, absolute
	Workspace driver.WorkspaceSpec `json:"workspace"`
	// RunID and RunKey are kept in run.json; SpecDigest is that of the record the spec was made from.
	RunID      string         `json:"run_id"`
	RunKey     string         `json:"run_key,omitempty"`
	SpecDigest string         `json:"spec_digest"`
	VMM        machine.Choice `json:"vmm"`
	// Fresh has the guest boot, where it could be a copy of a template, and makes it none.
	Fresh bool `json:"fresh,omitempty"`
	// Ports are published for this run, besides those of Workspace.
	Ports []spec.Port `json:"ports,omitempty"`
	// Network is what the guest may reach in this run; nil for no network at all.
	Network *spec.Network `json:"network,omitempty"`
	// Owner is the process that the run is for, of a one-shot workspace: its end is a request to stop.
	Owner *lease.Process `json:"owner,omitempty"`
	// Adapter is how to start the adapter, up to its options.
	Adapter []string `json:"adapter,omitempty"`
	// Gateway is how to start the gateway of a run with a network.
	Gateway []string     `json:"gateway,omitempty"`
	Boot    machine.Boot `json:"boot"`
}
