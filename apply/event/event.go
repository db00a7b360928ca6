// Package event is the stream of what an apply does, as data: apply emits, the commands show it as bars, lines
// or NDJSON. Events inform; nothing may be decided by them.
package event

import "time"

// Version is the version of the stream, in its first record. Readers ignore fields they don't know and reject
// another major.
const Version = "1.0"

// Type is the kind of an event.
type Type string

const (
	TypeVersion  Type = "version"  // the first record
	TypeStart    Type = "start"    // a change begins
	TypeProgress Type = "progress" // Done of Total bytes, or 0 while unknown
	TypeWaiting  Type = "waiting"  // a change takes long; sent every ten seconds
	TypeDone     Type = "done"
	TypeFailed   Type = "failed"
	TypeCut      Type = "cut"     // the interrupt ended it, or the wait for a task that goes on
	TypeSkipped  Type = "skipped" // not started, because of Because
	TypeNote     Type = "note"    // something the user should know, in Message
	TypeResult   Type = "result"  // the last record
)

// Event is one record. Which fields are set depends on Type.
type Event struct {
	Type    Type      `json:"type"`
	Time    time.Time `json:"time"`
	Version string    `json:"version,omitempty"`
	Address string    `json:"address,omitempty"` // "workspace/counter"
	Action  string    `json:"action,omitempty"`
	Message string    `json:"message,omitempty"`
	Done    int64     `json:"done,omitempty"`
	Total   int64     `json:"total,omitempty"`
	Elapsed float64   `json:"elapsed_seconds,omitempty"`
	Because string    `json:"because,omitempty"`
	Error   string    `json:"error,omitempty"`
	Next    string    `json:"next,omitempty"`
	// ExitCode is the guest's, of a task that failed.
	ExitCode *int   `json:"exit_code,omitempty"`
	Result   *Count `json:"result,omitempty"`
}

// Count sums up an apply.
type Count struct {
	Done       int  `json:"done"`
	Failed     int  `json:"failed"`
	NotStarted int  `json:"not_started"`
	Interrupt  bool `json:"interrupted,omitempty"`
}

// Sink receives events. Emit is called from several goroutines at once and must not block for long.
type Sink interface {
	Emit(Event)
}

// Discard is a sink that forgets.
var Discard Sink = discard{}

type discard struct{}

func (discard) Emit(Event) {}
