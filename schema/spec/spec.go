// Package spec is what manifests, plans, records and drivers all say of a workspace, in the same words: values alone,
// with no behaviour but what the values themselves decide. It imports the standard library alone, and everything may
// import it, the guest too.
//
// The values are written into records, saved plans and the control protocol: a JSON name never changes its meaning, and
// the zero of a new field means what was true before it.
package spec

// Mode is what a workspace's guest is for.
type Mode string

const (
	ModeTask    Mode = "task"    // runs its process once; the guest powers off when it ends
	ModeService Mode = "service" // keeps its process running
	ModeIdle    Mode = "idle"    // waits for exec
)

// Desired is whether a workspace is to run.
type Desired string

const (
	DesiredRunning Desired = "running"
	DesiredStopped Desired = "stopped"
)

// Boot is how a guest comes up.
type Boot string

const (
	BootTemplate Boot = "template" // as a copy of one that was booted before, where one fits
	BootFresh    Boot = "fresh"    // by a boot of its own
)

// Isolation is what must isolate a workspace.
type Isolation string

const (
	IsolationAny      Isolation = "any"      // what the host has
	IsolationHardware Isolation = "hardware" // a VMM that isolates by hardware, or none
)
