package proto

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/proto"

	"microagent/runtime/driver"
	"microagent/runtime/guest/proto/wire"
)

// Session is the host's side of one boot of a guest. Its methods may be used at the same time. It ends when the
// guest reboots, powers off or dies; a new boot needs a new Connect and a new Configure.
type Session struct {
	dial   Dialer
	client *ttrpc.Client
	agent  wire.AgentService
	hello  Hello
	done   chan struct{}
	once   sync.Once

	streams *streams // of dials
}

// Connect waits until the guest answers and exchanges hellos. It tries until ctx ends; then the error tells the
// last reason. A guest of another major version is a *VersionError.
func Connect(ctx context.Context, dial Dialer) (*Session, error) {
	patience, pause := 500*time.Millisecond, 5*time.Millisecond
	for {
		s, err := connectOnce(ctx, dial, patience)
		if err == nil {
			return s, nil
		}
		if _, ok := errors.AsType[*VersionError](err); ok {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, &driver.Error{
				Class: driver.ErrUnavailable, Op: "connect to guest", Err: errors.Join(context.Cause(ctx), err),
			}
		case <-time.After(pause):
		}
		patience, pause = min(2*patience, 5*time.Second), min(2*pause, 100*time.Millisecond)
	}
}

func connectOnce(ctx context.Context, dial Dialer, patience time.Duration) (*Session, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := dial(ctx, ControlPort)
	if err != nil {
		return nil, err
	}
	s := newSession(dial, conn)
	if err := s.exchange(ctx); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

func newSession(dial Dialer, conn net.Conn) *Session {
	s := &Session{dial: dial, done: make(chan struct{}), streams: newStreams()}
	s.client = ttrpc.NewClient(conn, ttrpc.WithOnClose(func() { s.once.Do(func() { close(s.done) }) }))
	s.agent = wire.NewAgentClient(s.client)
	return s
}

func (s *Session) exchange(ctx context.Context) error {
	nonce, seed := make([]byte, 16), make([]byte, 64)
	_, _ = rand.Read(nonce)
	_, _ = rand.Read(seed)
	resp, err := s.agent.Hello(ctx, &wire.HelloRequest{Major: Major, Minor: Minor, Build: Build(), Nonce: nonce, Seed: seed})
	if err != nil {
		return callError("greet guest", err)
	}
	if !bytes.Equal(nonce, resp.GetNonce()) {
		return lost("greet guest", errors.New("the answer belongs to another hello"))
	}
	if resp.GetMajor() != Major {
		return &VersionError{Major: resp.GetMajor(), Minor: resp.GetMinor(), Build: cut(resp.GetBuild())}
	}
	s.hello = Hello{
		Major: resp.GetMajor(), Minor: resp.GetMinor(), Build: cut(resp.GetBuild()), BootID: cut(resp.GetBootId()),
		Kernel: cut(resp.GetKernel()), Configured: resp.GetConfigured(), Uptime: time.Duration(resp.GetUptimeNanos()),
	}
	for i, c := range resp.GetCapabilities() {
		if i == 64 {
			break
		}
		s.hello.Capabilities = append(s.hello.Capabilities, cut(c))
	}
	return nil
}

// Build is what this binary says about itself in a hello.
func Build() string { return build() }

var build = sync.OnceValue(func() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
})

// Hello is what the guest said at the start of the session.
func (s *Session) Hello() Hello { return s.hello }

// Done is closed when the connection to the guest ended.
func (s *Session) Done() <-chan struct{} { return s.done }

// Close ends the connection. Processes in the guest run on; their streams end when theirs are closed.
func (s *Session) Close() error {
	s.streams.end()
	return s.client.Close()
}

// Configure makes the guest into a workspace: disks found, grown and mounted, clock set, name given. Once a boot;
// the same configuration again succeeds, another one is of class ErrRefused.
func (s *Session) Configure(ctx context.Context, c Config) error {
	if len(c.Mounts) > MaxMounts {
		return &GuestError{Op: "configure guest", Code: CodeInvalid, Message: fmt.Sprintf("more than %d mounts", MaxMounts)}
	}
	req := c.wire()
	if proto.Size(req) > MaxRequest {
		return &GuestError{Op: "configure guest", Code: CodeTooLarge, Message: "command and environment are too large"}
	}
	_, err := s.agent.Configure(ctx, req)
	return callError("configure guest", err)
}

// Signal sends a signal to the process group of the main process.
func (s *Session) Signal(ctx context.Context, signal string) error {
	_, err := s.agent.Signal(ctx, &wire.SignalRequest{Signal: signal})
	return callError("signal main process", err)
}

// Sync returns when everything that the guest wrote so far is on its disks.
func (s *Session) Sync(ctx context.Context) error {
	_, err := s.agent.Sync(ctx, &wire.SyncRequest{})
	return callError("sync guest", err)
}

// Grow makes the file system on the disk with this serial as large as the disk, and says how large. The guest's kernel
// hears of a new size a moment after the VMM has set it: device is that size, or 0.
func (s *Session) Grow(ctx context.Context, serial string, device int64) (int64, error) {
	resp, err := s.agent.Grow(ctx, &wire.GrowRequest{Serial: serial, DeviceBytes: device})
	return resp.GetBytes(), callError("grow disk "+serial, err)
}

// Freeze makes the file system on the disk with this serial need no recovery, and blocks what writes to it until Thaw, or
// until limit is over (at most FreezeLimit), which the guest sees to by itself. Only for a guest with CapFreeze.
func (s *Session) Freeze(ctx context.Context, serial string, limit time.Duration) error {
	_, err := s.agent.Freeze(ctx, &wire.FreezeRequest{Serial: serial, LimitNanos: int64(limit)})
	return callError("freeze disk "+serial, err)
}

// Thaw ends a freeze; the error is of class ErrRefused where its time was over before.
func (s *Session) Thaw(ctx context.Context, serial string) error {
	_, err := s.agent.Thaw(ctx, &wire.ThawRequest{Serial: serial})
	return callError("thaw disk "+serial, err)
}

// Trim has the guest's kernel discard what a file system does not use. Only for a guest with CapTrim.
func (s *Session) Trim(ctx context.Context, serial string) error {
	_, err := s.agent.Trim(ctx, &wire.TrimRequest{Serial: serial})
	return callError("trim disk "+serial, err)
}

// SetTime sets the guest's clock, after the host slept or the guest was paused.
func (s *Session) SetTime(ctx context.Context, t time.Time) error {
	_, err := s.agent.SetTime(ctx, &wire.SetTimeRequest{WallNanos: t.UnixNano()})
	return callError("set guest's clock", err)
}

// SetEnv gives what begins from now on another environment; what runs keeps its own. Only for a guest with CapEnv.
func (s *Session) SetEnv(ctx context.Context, env map[string]string) error {
	const op = "set guest's environment"
	req := &wire.SetEnvRequest{Env: env}
	if proto.Size(req) > MaxRequest {
		return &GuestError{Op: op, Code: CodeTooLarge, Message: "the environment is too large"}
	}
	_, err := s.agent.SetEnv(ctx, req)
	return callError(op, err)
}

// Mount mounts a disk that was plugged after Configure. Only for a guest with CapMount, as Unmount is.
func (s *Session) Mount(ctx context.Context, m Mount) error {
	_, err := s.agent.Mount(ctx, &wire.MountRequest{Mount: m.wire()})
	return callError("mount", err)
}

// Unmount ends the mount of a disk, with all of it on the disk. ErrBusy's cause is a *GuestError of CodeRefused, which names the
// processes that use it.
func (s *Session) Unmount(ctx context.Context, serial string) error {
	_, err := s.agent.Unmount(ctx, &wire.UnmountRequest{Serial: serial})
	return callError("unmount", err)
}

// Online has the guest use as many CPUs, and all of so many bytes of memory, as its VM was given while it runs. It returns when the
// guest does. Only for a guest with CapOnline.
func (s *Session) Online(ctx context.Context, cpus int, memory int64) error {
	_, err := s.agent.Online(ctx, &wire.OnlineRequest{Cpus: uint32(cpus), Memory: memory})
	return callError("take CPUs and memory into use", err)
}

// Ping returns when the agent answered.
func (s *Session) Ping(ctx context.Context) error {
	_, err := s.agent.Ping(ctx, &wire.PingRequest{})
	return callError("ping guest", err)
}

// Stopped says how the guest came down.
type Stopped struct {
	Killed  bool     // the main process, or in a guest without one any, did not end within the grace
	Unclean []string // mounts that could not be brought to a clean end
}

// Shutdown sends the stop signal to the main process, waits up to grace, kills what is left, unmounts, and powers
// the guest off. When it returns without error, everything is on the disks; the VMM ends a moment later. The
// session is closed then.
func (s *Session) Shutdown(ctx context.Context, grace time.Duration) (Stopped, error) {
	resp, err := s.agent.Shutdown(ctx, &wire.ShutdownRequest{GraceNanos: int64(grace)})
	if err != nil {
		return Stopped{}, callError("shut guest down", err)
	}
	out := Stopped{Killed: resp.GetKilled()}
	for i, u := range resp.GetUnclean() {
		if i == MaxMounts {
			break
		}
		out.Unclean = append(out.Unclean, cut(u))
	}
	return out, s.Close()
}
