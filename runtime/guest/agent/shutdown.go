package agent

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"microagent/runtime/guest/proto"
	"microagent/runtime/guest/proto/wire"
)

const (
	// killTime bounds how long killed processes take to be reaped.
	killTime = 5 * time.Second
	// partTime bounds how long the guest waits for the host to hear the answer.
	partTime = 2 * time.Second
)

// Shutdown stops every process and brings the file systems to a clean end. The power goes off when the host
// closed its connection.
func (a *Agent) Shutdown(ctx context.Context, req *wire.ShutdownRequest) (*wire.ShutdownResponse, error) {
	a.mu.Lock()
	if a.closing {
		a.mu.Unlock()
		return nil, proto.Errorf(proto.CodeRefused, "the guest is shutting down already")
	}
	a.closing = true
	stop, err := parseSignal(a.configured.GetProcess().GetStopSignal())
	if err != nil {
		stop = unix.SIGTERM
	}
	main := a.main
	var running []*process
	for _, p := range a.procs {
		if !p.over() {
			running = append(running, p)
		}
	}
	a.mu.Unlock()

	a.frozen.close() // what waits to write has to come to its end
	for _, p := range running {
		if p == main {
			// The main process knows its own children, as under any init.
			_ = p.signalAlone(stop)
		} else {
			_ = p.signal(unix.SIGTERM)
		}
	}
	resp := &wire.ShutdownResponse{}
	if grace := time.Duration(req.GetGraceNanos()); !waitAll(running, grace) {
		resp.Killed = grace > 0 && main == nil || main != nil && !main.over()
	}
	// Not waited for by ctx: what was begun is finished.
	a.system.KillAll()
	waitAll(running, killTime)
	unix.Sync()
	resp.Unclean = a.system.Unmount()
	go a.part()
	return resp, nil
}

// waitAll waits for the end of all; false when the time ran out.
func waitAll(list []*process, patience time.Duration) bool {
	timeout := time.NewTimer(max(patience, 0))
	defer timeout.Stop()
	for _, p := range list {
		select {
		case <-p.ended:
		case <-timeout.C:
			return false
		}
	}
	return true
}

// part powers off once the host has heard of it.
func (a *Agent) part() {
	select {
	case <-a.hostGone:
	case <-time.After(partTime):
	}
	a.system.PowerOff()
}
