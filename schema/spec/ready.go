package spec

import (
	"fmt"
	"strings"
	"time"
)

// Ready says when a service or a workspace that idles is ready. Exactly one of Exec, Port, Log and File is set.
type Ready struct {
	Exec []string `json:"exec,omitempty"` // a command that exits with 0
	Port uint16   `json:"port,omitempty"` // of TCP, that a server listens on in the guest
	Log  string   `json:"log,omitempty"`  // text in a line that the service writes
	File string   `json:"file,omitempty"` // a guest path, absolute, made or changed since this start

	Interval    time.Duration `json:"interval,omitempty"`     // between two probes
	Timeout     time.Duration `json:"timeout,omitempty"`      // of one Exec
	StartPeriod time.Duration `json:"start_period,omitempty"` // in which no probe that fails counts
	Failures    int           `json:"failures,omitempty"`     // in a row, until it is not ready
	OnLoss      OnLoss        `json:"on_loss,omitempty"`      // "" is show
}

// OnLoss is what becomes of a workspace that was ready and is no more.
type OnLoss string

// Its values.
const (
	OnLossShow    OnLoss = "show"
	OnLossRestart OnLoss = "restart"
)

// The kinds of probes, as a manifest has them.
const (
	ProbeExec = "exec"
	ProbePort = "port"
	ProbeLog  = "log"
	ProbeFile = "file"
)

// Kind is which probe it is, "" for none.
func (r Ready) Kind() string {
	switch {
	case len(r.Exec) > 0:
		return ProbeExec
	case r.Port != 0:
		return ProbePort
	case r.Log != "":
		return ProbeLog
	case r.File != "":
		return ProbeFile
	}
	return ""
}

// Probe is what is looked at, in words: "port 8080", "exec pg_isready", `log "listening"`, "file /run/ready".
func (r Ready) Probe() string {
	switch r.Kind() {
	case ProbeExec:
		return "exec " + strings.Join(r.Exec, " ")
	case ProbePort:
		return fmt.Sprintf("port %d", r.Port)
	case ProbeLog:
		return fmt.Sprintf("log %q", r.Log)
	}
	return "file " + r.File
}

// Restart is when a run that has ended by itself begins anew.
type Restart string

// Its values.
const (
	RestartNever     Restart = "never"
	RestartOnFailure Restart = "on-failure"
	RestartAlways    Restart = "always"
)

// Of is the policy of a workspace of a mode: "" is never but for a service, which is on-failure.
func (r Restart) Of(mode Mode) Restart {
	switch {
	case r != "":
		return r
	case mode == ModeService:
		return RestartOnFailure
	}
	return RestartNever
}
