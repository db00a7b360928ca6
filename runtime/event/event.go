// Package event is the stream of what happens in a project, as data: the plan that an apply walks, each step of it,
// what tasks write, and how it ended. The commands show it as bars, lines or NDJSON and keep it in the project's
// history. Events inform; nothing may be decided by them.
package event

import (
	"encoding/json"
	"time"
)

// Version is the version of the stream, in its first record. Readers ignore fields and types that they don't know, and
// reject another major.
const Version = "2.0"

// Type is the kind of an event.
type Type string

const (
	TypeVersion  Type = "version"  // the first record: what is run, on which project
	TypePlan     Type = "plan"     // what is going to be done
	TypeDrift    Type = "drift"    // what is not as the last apply left it
	TypeWarning  Type = "warning"  // of the manifest or the plan, in Diagnostic
	TypeRefusal  Type = "refusal"  // why the plan is not walked, in Diagnostic
	TypeStart    Type = "start"    // a change begins
	TypeProgress Type = "progress" // Done of Total bytes, or 0 while unknown
	TypeWaiting  Type = "waiting"  // a change takes long; sent every ten seconds
	TypeOutput   Type = "output"   // a line that a task wrote
	TypeDone     Type = "done"
	TypeFailed   Type = "failed"
	TypeCut      Type = "cut"      // the interrupt ended it, or the wait for a task that goes on
	TypeSkipped  Type = "skipped"  // not started, because of Because
	TypeUnneeded Type = "unneeded" // a change that is done only for a cause, and none came
	TypeNote     Type = "note"     // something the user should know, in Message
	TypeResult   Type = "result"   // the last record
	// TypeCollected is an output that is on the host now, in Collected.
	TypeCollected Type = "collected"

	// What happens by itself, of the workspace in Address.
	TypeReady     Type = "ready"      // its probe passes
	TypeNotReady  Type = "not_ready"  // it does not become so, or is so no more; Error says more
	TypeEnded     Type = "ended"      // its run ended and nobody asked for that: Error says how, Loss what that cost
	TypeRestart   Type = "restart"    // its guest boots again, because of Error
	TypeDenied    Type = "denied"     // its guest asked of its network what it may not reach, in Denial; Message says it in words
	TypeHostFull  Type = "host_full"  // the host has no room for what it writes; Message says more
	TypeDiskFault Type = "disk_fault" // the host could not do what its guest asked of a disk; Message says more
)

// Event is one record. Which fields are set depends on Type.
type Event struct {
	Type Type      `json:"type"`
	Time time.Time `json:"time"`
	// Run is the same in all records of one command, and in no other's.
	Run        string          `json:"run,omitempty"`
	Version    string          `json:"version,omitempty"`
	Command    string          `json:"command,omitempty"` // "apply", "destroy": of the version record
	Project    string          `json:"project,omitempty"` // likewise
	Address    string          `json:"address,omitempty"` // "workspace/counter"
	Action     string          `json:"action,omitempty"`
	Message    string          `json:"message,omitempty"`
	Stream     string          `json:"stream,omitempty"`  // "stdout" or "stderr", of an output
	Line       *string         `json:"line,omitempty"`    // of an output, without its end, at most 4 KiB
	Port       *Port           `json:"port,omitempty"`    // of a note that says where one is published
	Changes    []Change        `json:"changes,omitempty"` // of a plan
	Done       int64           `json:"done,omitempty"`
	Total      int64           `json:"total,omitempty"`
	Elapsed    float64         `json:"elapsed_seconds,omitempty"`
	Because    string          `json:"because,omitempty"`
	Error      string          `json:"error,omitempty"`
	Next       string          `json:"next,omitempty"`
	Did        []string        `json:"did,omitempty"`        // of a change that failed: what of it was done before that
	Diagnostic json.RawMessage `json:"diagnostic,omitempty"` // as validate --json gives it
	// ExitCode is the guest's, of a task that failed; in the result it is the command's own.
	ExitCode  *int       `json:"exit_code,omitempty"`
	Collected *Collected `json:"collected,omitempty"`
	// Loss is what the end of a run cost.
	Loss json.RawMessage `json:"loss,omitempty"`
	// Denial is a record of what a network denied.
	Denial json.RawMessage `json:"denial,omitempty"`
	// Result sums up, in the last record.
	Result json.RawMessage `json:"result,omitempty"`
}

// Text is the line of an output, "" for none.
func (e Event) Text() string {
	if e.Line == nil {
		return ""
	}
	return *e.Line
}

// Change is one line of a plan.
type Change struct {
	Address string `json:"address"`
	Action  string `json:"action"`
	Reason  string `json:"reason,omitempty"`
	Detail  string `json:"detail,omitempty"`
	Danger  string `json:"danger,omitempty"`
	// OnlyIf says that it is done only when what it rests on changes.
	OnlyIf bool `json:"only_if,omitempty"`
}

// Collected is an output that came to the host.
type Collected struct {
	From   string `json:"from"` // the guest path
	To     string `json:"to"`   // as the manifest names it
	Files  int    `json:"files"`
	Bytes  int64  `json:"bytes"`
	Digest string `json:"digest"`
}

// Port is where a port of a guest is published.
type Port struct {
	Name     string `json:"name,omitempty"`
	Guest    int    `json:"guest"`
	Protocol string `json:"protocol"`
	Host     int    `json:"host,omitempty"`
	Socket   string `json:"socket,omitempty"`
}

// Sink receives events. Emit is called from several goroutines at once and must not block for long.
type Sink interface {
	Emit(Event)
}

// Discard is a sink that forgets.
var Discard Sink = discard{}

type discard struct{}

func (discard) Emit(Event) {}

// Sinks gives each event to all, in their order.
type Sinks []Sink

// Emit implements Sink.
func (all Sinks) Emit(e Event) {
	for _, s := range all {
		s.Emit(e)
	}
}
