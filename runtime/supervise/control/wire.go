package control

import (
	"io/fs"
	"time"

	"microagent/runtime/driver"
	"microagent/schema/spec"
)

// What goes over the wire, in JSON: a call's header and its own fields lie side by side in one object, and so do an
// outcome and what the call gives.

type header struct {
	Version int    `json:"version"`
	Call    Call   `json:"call"`
	IfRun   string `json:"if_run,omitempty"` // the only run that it is for, "" any
}

type haltRequest struct {
	header
	Grace time.Duration `json:"grace,omitempty"` // 0 is the workspace's own
}

type logsRequest struct {
	header
	Follow bool   `json:"follow,omitempty"`
	Stream string `json:"stream,omitempty"` // "stdout", "stderr", "" for both
}

type execRequest struct {
	header
	Exec *execWire `json:"exec,omitempty"`
}

type execWire struct {
	ID       string   `json:"id"`
	Spec     specWire `json:"spec"`
	Input    bool     `json:"input,omitempty"` // input frames follow
	Terminal bool     `json:"terminal,omitempty"`
	Rows     uint16   `json:"rows,omitempty"`
	Columns  uint16   `json:"columns,omitempty"`
	Steered  bool     `json:"steered,omitempty"` // steering frames follow, and input as far as it is granted
}

// steeringWire is the content of a steering frame: a signal, or a window size.
type steeringWire struct {
	Signal  string `json:"signal,omitempty"`
	Rows    uint16 `json:"rows,omitempty"`
	Columns uint16 `json:"columns,omitempty"`
}

// specWire is a driver.ExecSpec, whose IfRun is in the header; its fields go by these names.
type specWire struct {
	Argv    []string
	Env     map[string]string
	User    string
	Workdir string
	Timeout time.Duration
	Collect bool
}

func specWireOf(e driver.ExecSpec) specWire {
	return specWire{Argv: e.Argv, Env: e.Env, User: e.User, Workdir: e.Workdir, Timeout: e.Timeout, Collect: e.Collect}
}

func (w specWire) spec() driver.ExecSpec {
	return driver.ExecSpec{Argv: w.Argv, Env: w.Env, User: w.User, Workdir: w.Workdir, Timeout: w.Timeout, Collect: w.Collect}
}

// jobRequest begins a job; its id is in the result.
type jobRequest struct {
	header
	Spec    specWire         `json:"spec"`
	Outputs []jobOutputShape `json:"outputs,omitempty"`
}

// ofJobRequest is of a job that runs: wait, and stop with the rest.
type ofJobRequest struct {
	header
	ID    string        `json:"id"`
	Grace time.Duration `json:"grace,omitempty"`
	Force bool          `json:"force,omitempty"`
}

type signalRequest struct {
	header
	ID     string `json:"id,omitempty"` // the exec's
	Signal string `json:"signal,omitempty"`
}

type resizeRequest struct {
	header
	ID      string `json:"id,omitempty"`
	Rows    uint16 `json:"rows,omitempty"`
	Columns uint16 `json:"columns,omitempty"`
}

type fetchRequest struct {
	header
	Path  string `json:"path,omitempty"`  // absolute, in the guest
	Limit int64  `json:"limit,omitempty"` // in bytes
}

type putRequest struct {
	header
	Path string `json:"path,omitempty"`
}

type statRequest struct {
	header
	Path    string `json:"path,omitempty"`
	Follows bool   `json:"follows,omitempty"` // through a symlink at the end
}

type growRequest struct {
	header
	Volume string `json:"volume,omitempty"` // "" is the root file system
	Size   int64  `json:"size,omitempty"`
}

// volumeRequest is of freeze, which answers by an output frame once it is frozen, and of trim.
type volumeRequest struct {
	header
	Volume string `json:"volume,omitempty"`
}

// portsRequest is of publish and of forward, which answers by its one output frame: the ports as they are bound, in JSON.
type portsRequest struct {
	header
	Ports []spec.Port `json:"ports,omitempty"`
	// Settled is of forward: answer once the guest has said whether it has the servers.
	Settled bool `json:"settled,omitempty"`
}

type networkRequest struct {
	header
	Network *spec.Network `json:"network,omitempty"`
}

type envRequest struct {
	header
	Env map[string]string `json:"env,omitempty"`
}

type mountRequest struct {
	header
	Mounts []spec.Mount `json:"mounts"`
}

type vmRequest struct {
	header
	CPUs   int   `json:"cpus"`
	Memory int64 `json:"memory"` // bytes
}

// outcome is in every result.
type outcome struct {
	Failure *Failure `json:"failure,omitempty"`
}

func (o outcome) err() error { return o.Failure.Error() }

// result is the last frame of a call.
type result interface{ err() error }

// helloResult answers hello and status, and tells one of another version which it should be.
type helloResult struct {
	outcome
	Version int      `json:"version,omitempty"` // of the protocol
	Minor   int      `json:"minor,omitempty"`
	Tool    string   `json:"tool,omitempty"` // of the microagent that runs
	Run     *runWire `json:"run,omitempty"`
}

// endedResult answers wait, halt and kill.
type endedResult struct {
	outcome
	Run    *runWire `json:"run,omitempty"`
	Forced bool     `json:"forced,omitempty"`
}

type execResult struct {
	outcome
	Code     int  `json:"code,omitempty"`
	TimedOut bool `json:"timed_out,omitempty"`
}

type statResult struct {
	outcome
	Size   int64     `json:"size,omitempty"`
	Mode   uint32    `json:"mode,omitempty"` // fs.FileMode
	MTime  time.Time `json:"mtime,omitzero"`
	UID    uint32    `json:"uid,omitempty"`
	GID    uint32    `json:"gid,omitempty"`
	Target string    `json:"target,omitempty"`
}

func (r statResult) fileInfo() FileInfo {
	return FileInfo{Mode: fs.FileMode(r.Mode), Size: r.Size, ModTime: r.MTime, UID: r.UID, GID: r.GID, Target: r.Target}
}

type jobResult struct {
	outcome
	Job *jobShape `json:"job,omitempty"`
}

type growResult struct {
	outcome
	Size int64 `json:"size,omitempty"` // of the file system
}
