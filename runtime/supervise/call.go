package supervise

import (
	"time"

	"microagent/runtime/driver"
)

// Call names what is asked of a supervisor.
type Call string

// The calls. The first five are frozen.
const (
	CallHello  Call = "hello"
	CallStatus Call = "status"
	CallLogs   Call = "logs"
	CallHalt   Call = "halt"
	CallKill   Call = "kill"

	CallWait   Call = "wait"
	CallPing   Call = "ping" // the guest
	CallExec   Call = "exec"
	CallSignal Call = "signal" // to an exec
	CallResize Call = "resize" // of an exec's terminal
	CallFetch  Call = "fetch"
	CallPut    Call = "put"
	CallStat   Call = "stat"
	CallSync   Call = "sync"
	CallGrow   Call = "grow"
)

func (c Call) frozen() bool {
	switch c {
	case CallHello, CallStatus, CallLogs, CallHalt, CallKill:
		return true
	}
	return false
}

// Request is the first frame of a call. Which fields count depends on the call.
type Request struct {
	Version int           `json:"version"`
	Call    Call          `json:"call"`
	Grace   time.Duration `json:"grace,omitempty"`  // halt; 0 is the workspace's own
	Follow  bool          `json:"follow,omitempty"` // logs
	Stream  string        `json:"stream,omitempty"` // logs: "stdout", "stderr", "" for both
	Exec    *ExecRequest  `json:"exec,omitempty"`   // exec
	ID      string        `json:"id,omitempty"`     // signal, resize: the exec's
	Signal  string        `json:"signal,omitempty"` // signal
	Rows    uint16        `json:"rows,omitempty"`
	Columns uint16        `json:"columns,omitempty"`
	Path    string        `json:"path,omitempty"`    // fetch, put, stat: absolute, in the guest
	Follows bool          `json:"follows,omitempty"` // stat: through a symlink at the end
	Limit   int64         `json:"limit,omitempty"`   // fetch, in bytes
	Volume  string        `json:"volume,omitempty"`  // grow; "" is the root file system
	Size    int64         `json:"size,omitempty"`    // grow
}

// ExecRequest is a process to run.
type ExecRequest struct {
	ID       string          `json:"id"`
	Spec     driver.ExecSpec `json:"spec"`
	Input    bool            `json:"input,omitempty"` // input frames follow
	Terminal bool            `json:"terminal,omitempty"`
	Rows     uint16          `json:"rows,omitempty"`
	Columns  uint16          `json:"columns,omitempty"`
}

// Result is the last frame of a call.
type Result struct {
	Failure  *Failure    `json:"failure,omitempty"`
	Version  int         `json:"version,omitempty"` // hello: of the protocol
	Tool     string      `json:"tool,omitempty"`    // hello: of the microagent that runs
	Run      *driver.Run `json:"run,omitempty"`     // hello, status, wait, halt, kill
	Forced   bool        `json:"forced,omitempty"`  // halt, kill
	Code     int         `json:"code,omitempty"`    // exec
	TimedOut bool        `json:"timed_out,omitempty"`
	Size     int64       `json:"size,omitempty"` // grow: of the file system; stat
	Mode     uint32      `json:"mode,omitempty"` // stat: fs.FileMode
	MTime    time.Time   `json:"mtime,omitzero"`
	UID      uint32      `json:"uid,omitempty"`
	GID      uint32      `json:"gid,omitempty"`
	Target   string      `json:"target,omitempty"`
}
