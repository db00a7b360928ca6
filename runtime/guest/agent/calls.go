package agent

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	pb "google.golang.org/protobuf/proto"

	"microagent/runtime/guest/proto"
	"microagent/runtime/guest/proto/wire"
)

var _ wire.AgentService = (*Agent)(nil)

// Hello says what this agent is. The kernel makes the boot's id when it is first read: that is after it was given a seed, since
// this guest may be a copy of one that others are copies of as well.
func (a *Agent) Hello(_ context.Context, req *wire.HelloRequest) (*wire.HelloResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if seed := req.GetSeed(); len(seed) > 0 {
		if err := a.system.AddEntropy(seed); err != nil {
			a.log.Printf("entropy: %v", err) // Configure fails by it
		}
	}
	if a.boot == "" {
		a.boot = bootID()
	}
	return &wire.HelloResponse{
		Major: proto.Major, Minor: proto.Minor, Build: proto.Build(), Nonce: req.GetNonce(),
		Capabilities: []string{proto.CapExec, proto.CapTerminal, proto.CapFiles, proto.CapGrow, proto.CapLog, proto.CapDial, proto.CapStats, proto.CapPackets, proto.CapChanged,
			proto.CapEnv, proto.CapFreeze, proto.CapTrim, proto.CapProbe, proto.CapMount, proto.CapOnline},
		BootId: a.boot, Kernel: kernelRelease(), Configured: a.configured != nil, UptimeNanos: uptime(),
	}, nil
}

// Configure sets the workspace up, once.
func (a *Agent) Configure(ctx context.Context, req *wire.ConfigureRequest) (*wire.ConfigureResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closing {
		return nil, proto.Errorf(proto.CodeRefused, "the guest is shutting down")
	}
	if a.configured != nil {
		if !sameConfig(a.configured, req) {
			return nil, proto.Errorf(proto.CodeRefused, "the guest was configured otherwise in this boot")
		}
		return &wire.ConfigureResponse{}, nil
	}
	if _, err := parseSignal(req.GetProcess().GetStopSignal()); err != nil {
		a.log.Printf("stop signal: %v: SIGTERM stands for it", err)
	}
	if len(req.GetSeed()) > 0 {
		if err := a.system.AddEntropy(req.GetSeed()); err != nil {
			return nil, proto.Errorf(proto.CodeFailed, "entropy: %v", err)
		}
	}
	if req.GetWallNanos() != 0 {
		if err := a.system.SetClock(req.GetWallNanos()); err != nil {
			return nil, proto.Errorf(proto.CodeFailed, "set the clock: %v", err)
		}
	}
	up := now()
	if err := a.system.Setup(ctx, req, ownerIn(req)); err != nil {
		return nil, answer(err)
	}
	a.configured, a.up = req, up
	return &wire.ConfigureResponse{}, nil
}

// ownerIn looks up owners in a guest that is configured so.
func ownerIn(req *wire.ConfigureRequest) Owner {
	return func(spec string) (int, int, error) {
		if spec == "" {
			spec = req.GetProcess().GetUser()
		}
		id, err := accounts{passwdFile, groupFile}.find(spec)
		return int(id.uid), int(id.gid), err
	}
}

// sameConfig compares without the parts that differ by the moment.
func sameConfig(a, b *wire.ConfigureRequest) bool {
	a, b = pb.CloneOf(a), pb.CloneOf(b)
	a.WallNanos, b.WallNanos, a.Seed, b.Seed = 0, 0, nil, nil
	return pb.Equal(a, b)
}

// Start runs a process.
func (a *Agent) Start(_ context.Context, req *wire.StartRequest) (*wire.StartResponse, error) {
	streams, err := a.claimStreams(req)
	if err != nil {
		return nil, err
	}
	p, err := a.admit(req, streams)
	if err != nil {
		for _, st := range streams.all() {
			_ = st.Close()
		}
		return nil, err
	}
	return &wire.StartResponse{Pid: int32(p.pid)}, nil
}

// rememberEnded bounds how many processes that ended can still be waited for.
const rememberEnded = 512

func (a *Agent) admit(req *wire.StartRequest, s *streamSet) (*process, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.configured == nil:
		return nil, proto.Errorf(proto.CodeRefused, "the guest was not configured yet")
	case a.closing:
		return nil, proto.Errorf(proto.CodeRefused, "the guest is shutting down")
	case req.GetId() == "" || len(req.GetId()) > 128:
		return nil, proto.Errorf(proto.CodeInvalid, "a process needs an id of 1 to 128 bytes")
	case a.procs[req.GetId()] != nil:
		return nil, proto.Errorf(proto.CodeExists, "there is a process %s already", req.GetId())
	case req.GetMain() && a.main != nil && !a.main.over():
		return nil, proto.Errorf(proto.CodeExists, "the main process runs already")
	}
	what := a.configured.GetProcess()
	if !req.GetMain() {
		what = merge(what, req.GetProcess())
	}
	p := a.begin(req, what, s)
	a.procs[p.id] = p
	if req.GetMain() {
		a.main = p
	}
	a.forget()
	return p, nil
}

// forget drops the oldest processes that ended, beyond a number.
func (a *Agent) forget() {
	known := map[string]bool{}
	for _, id := range a.ended {
		known[id] = true
	}
	for id, p := range a.procs {
		if p.over() && !known[id] {
			a.ended = append(a.ended, id)
		}
	}
	for len(a.ended) > rememberEnded {
		delete(a.procs, a.ended[0])
		a.ended = a.ended[1:]
	}
}

func (a *Agent) process(id string) (*process, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.procs[id]
	if id == "" {
		p = a.main
	}
	if p == nil {
		return nil, proto.Errorf(proto.CodeNotFound, "there is no process %s", id)
	}
	return p, nil
}

// Wait answers with the exit code.
func (a *Agent) Wait(ctx context.Context, req *wire.WaitRequest) (*wire.WaitResponse, error) {
	p, err := a.process(req.GetId())
	if err != nil {
		return nil, err
	}
	select {
	case <-p.ended:
		return p.exit, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Signal reaches the process group; one that has ended is a success.
func (a *Agent) Signal(_ context.Context, req *wire.SignalRequest) (*wire.SignalResponse, error) {
	p, err := a.process(req.GetId())
	if err != nil {
		return nil, err
	}
	sig, err := parseSignal(req.GetSignal())
	if err != nil {
		return nil, err
	}
	if err := p.signal(sig); err != nil && !errors.Is(err, unix.ESRCH) {
		return nil, answer(err)
	}
	return &wire.SignalResponse{}, nil
}

// Resize sets the size of a process's terminal.
func (a *Agent) Resize(_ context.Context, req *wire.ResizeRequest) (*wire.ResizeResponse, error) {
	p, err := a.process(req.GetId())
	if err != nil {
		return nil, err
	}
	if p.terminal == nil {
		return nil, proto.Errorf(proto.CodeInvalid, "process %s has no terminal", req.GetId())
	}
	if err := resize(p.terminal, req.GetSize()); err != nil && !errors.Is(err, os.ErrClosed) {
		return nil, answer(err)
	}
	return &wire.ResizeResponse{}, nil
}

// Sync waits for the disks.
func (a *Agent) Sync(context.Context, *wire.SyncRequest) (*wire.SyncResponse, error) {
	unix.Sync()
	return &wire.SyncResponse{}, nil
}

// Grow fits a file system to its disk.
func (a *Agent) Grow(_ context.Context, req *wire.GrowRequest) (*wire.GrowResponse, error) {
	if err := a.ready(); err != nil {
		return nil, err
	}
	n, err := a.system.Grow(req.GetSerial(), req.GetDeviceBytes())
	if err != nil {
		return nil, answer(err)
	}
	return &wire.GrowResponse{Bytes: n}, nil
}

// Mount mounts a disk of a guest that is configured; Unmount ends a mount. One comes after the other.
func (a *Agent) Mount(_ context.Context, req *wire.MountRequest) (*wire.MountResponse, error) {
	err := a.remount(func(now *wire.ConfigureRequest) error {
		d := req.GetMount()
		if err := a.system.MountDisk(d, ownerIn(now)); err != nil {
			return err
		}
		now.Mounts = append(without(now.Mounts, d.GetSerial()), d)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &wire.MountResponse{}, nil
}

// Unmount is described at Mount.
func (a *Agent) Unmount(_ context.Context, req *wire.UnmountRequest) (*wire.UnmountResponse, error) {
	err := a.remount(func(now *wire.ConfigureRequest) error {
		if err := a.system.UnmountDisk(req.GetSerial()); err != nil {
			return err
		}
		now.Mounts = without(now.Mounts, req.GetSerial())
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &wire.UnmountResponse{}, nil
}

func without(list []*wire.Mount, serial string) []*wire.Mount {
	return slices.DeleteFunc(list, func(d *wire.Mount) bool { return d.GetSerial() == serial })
}

// remount changes what is mounted, and the configuration with it: it is what a host that connects anew says.
func (a *Agent) remount(change func(now *wire.ConfigureRequest) error) error {
	a.remounting.Lock()
	defer a.remounting.Unlock()
	a.mu.Lock()
	configured, closing := a.configured, a.closing
	a.mu.Unlock()
	switch {
	case configured == nil:
		return proto.Errorf(proto.CodeRefused, "the guest was not configured yet")
	case closing:
		return proto.Errorf(proto.CodeRefused, "the guest is shutting down")
	}
	next := pb.CloneOf(configured)
	if err := change(next); err != nil {
		return answer(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := pb.CloneOf(a.configured) // which may have another environment by now
	now.Mounts = next.Mounts
	a.configured = now
	return nil
}

// Online takes what was plugged into use.
func (a *Agent) Online(ctx context.Context, req *wire.OnlineRequest) (*wire.OnlineResponse, error) {
	if err := a.ready(); err != nil {
		return nil, err
	}
	if err := a.system.Online(ctx, int(req.GetCpus()), req.GetMemory()); err != nil {
		return nil, answer(err)
	}
	return &wire.OnlineResponse{}, nil
}

// SetTime sets the clock.
func (a *Agent) SetTime(_ context.Context, req *wire.SetTimeRequest) (*wire.SetTimeResponse, error) {
	if err := a.system.SetClock(req.GetWallNanos()); err != nil {
		return nil, answer(err)
	}
	return &wire.SetTimeResponse{}, nil
}

// SetEnv sets what processes that begin later get.
func (a *Agent) SetEnv(_ context.Context, req *wire.SetEnvRequest) (*wire.SetEnvResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.configured == nil:
		return nil, proto.Errorf(proto.CodeRefused, "the guest was not configured yet")
	case a.closing:
		return nil, proto.Errorf(proto.CodeRefused, "the guest is shutting down")
	}
	// Those that begin now read the old one without the lock.
	now := pb.CloneOf(a.configured)
	if now.Process == nil {
		now.Process = &wire.Process{}
	}
	now.Process.Env = req.GetEnv()
	a.configured = now
	return &wire.SetEnvResponse{}, nil
}

// Ping answers.
func (a *Agent) Ping(context.Context, *wire.PingRequest) (*wire.PingResponse, error) {
	return &wire.PingResponse{UptimeNanos: uptime()}, nil
}

// answer gives an error of the system a code.
func answer(err error) error {
	if ge, ok := errors.AsType[*proto.GuestError](err); ok {
		return ge
	}
	code := proto.CodeFailed
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		code = proto.CodeNotFound
	case errors.Is(err, os.ErrExist):
		code = proto.CodeExists
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		code = proto.CodeNoSpace
	case errors.Is(err, os.ErrPermission), errors.Is(err, unix.EROFS):
		code = proto.CodeRefused
	}
	return proto.Errorf(code, "%s", strings.TrimSpace(err.Error()))
}

func (p *process) over() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

func uptime() uint64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0
	}
	return uint64(time.Duration(ts.Nano()))
}
