package main

import (
	"context"
	"math"
	"net"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/containerd/ttrpc"
	"golang.org/x/sys/unix"

	"microagent/runtime/guest/agent"
	"microagent/runtime/guest/proto"
	"microagent/runtime/guest/proto/wire"
)

// liar answers for an agent, and not always what it says.
type liar struct {
	wire.AgentService
	kind string
	log  *agent.Log
	link *link // the host's connection for calls

	mu   sync.Mutex
	lies map[string]bool // processes about whose end it lies
	asks map[string]int  // how often what is below /evil was asked for
}

// serve answers calls itself, and leaves the streams that it does not want to the agent.
func (l *liar) serve(ctx context.Context, a *agent.Agent, control, streams net.Listener) error {
	l.AgentService, l.link = a, &link{Listener: control}
	l.lies, l.asks = map[string]bool{}, map[string]int{}
	server, err := ttrpc.NewServer()
	if err != nil {
		return err
	}
	wire.RegisterAgentService(server, l)
	go func() { _ = a.Serve(ctx, nobody{control.Addr(), ctx.Done()}, &intercepted{streams, l}) }()
	return server.Serve(ctx, l.link)
}

// nobody is a listener that nobody dials.
type nobody struct {
	addr   net.Addr
	closed <-chan struct{}
}

func (n nobody) Accept() (net.Conn, error) { <-n.closed; return nil, net.ErrClosed }
func (n nobody) Close() error              { return nil }
func (n nobody) Addr() net.Addr            { return n.addr }

// never is a call that has no answer, also when the host does not wait for it any more.
func never() {
	for {
		time.Sleep(time.Hour) // a process in which all wait for ever panics
	}
}

func (l *liar) Hello(ctx context.Context, req *wire.HelloRequest) (*wire.HelloResponse, error) {
	if l.kind == "hello" {
		l.log.Printf(flooded)
		never()
	}
	resp, err := l.AgentService.Hello(ctx, req)
	switch l.kind {
	case "names":
		resp.Build, resp.BootId, resp.Kernel = forged(1<<20), forged(1<<20), forged(1<<20)
	case "version":
		resp.Major, resp.Build = 99, forged(3<<20)
	}
	return resp, err
}

func (l *liar) Configure(ctx context.Context, req *wire.ConfigureRequest) (*wire.ConfigureResponse, error) {
	switch l.kind {
	case "configure":
		l.log.Printf(flooded)
		never()
	case "refuse":
		return nil, proto.Errorf(proto.CodeInvalid, "%s", forged(3<<20))
	}
	resp, err := l.AgentService.Configure(ctx, req)
	if err != nil {
		return resp, err
	}
	switch l.kind {
	case "reset-ready":
		time.AfterFunc(time.Second, func() { _ = reset() })
	case "console":
		time.AfterFunc(floodTime, func() { l.log.Printf(flooded) })
		go func() {
			for {
				_, _ = unix.Write(2, []byte(forged(64<<10)))
			}
		}()
	case "answers", "calls", "length":
		time.AfterFunc(floodTime, func() { l.log.Printf(flooded) })
		sent := l.link.answered()
		go func() { // an answer that came behind the flood would be none
			<-sent
			l.link.flood(l.kind)
		}()
	}
	return resp, err
}

// stuck are the calls that kind end does not answer.
func (l *liar) stuck() {
	if l.kind == "end" {
		never()
	}
}

func (l *liar) Sync(ctx context.Context, req *wire.SyncRequest) (*wire.SyncResponse, error) {
	l.stuck()
	return l.AgentService.Sync(ctx, req)
}

func (l *liar) Shutdown(ctx context.Context, req *wire.ShutdownRequest) (*wire.ShutdownResponse, error) {
	l.stuck()
	resp, err := l.AgentService.Shutdown(ctx, req)
	if l.kind == "names" {
		for range 1000 {
			resp.Unclean = append(resp.Unclean, forged(2<<10))
		}
	}
	return resp, err
}

func (l *liar) Signal(ctx context.Context, req *wire.SignalRequest) (*wire.SignalResponse, error) {
	l.stuck()
	return l.AgentService.Signal(ctx, req)
}

// Start runs true in the place of evil.
func (l *liar) Start(ctx context.Context, req *wire.StartRequest) (*wire.StartResponse, error) {
	if argv := req.GetProcess().GetArgv(); len(argv) > 1 && argv[0] == "evil" {
		if argv[1] == "refuse" {
			return nil, proto.Errorf(proto.CodeFailed, "%s", forged(3<<20))
		}
		l.mu.Lock()
		l.lies[req.GetId()] = true
		l.mu.Unlock()
		req.Process.Argv = []string{"true"}
	}
	return l.AgentService.Start(ctx, req)
}

func (l *liar) Wait(ctx context.Context, req *wire.WaitRequest) (*wire.WaitResponse, error) {
	resp, err := l.AgentService.Wait(ctx, req)
	l.stuck()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil && l.lies[req.GetId()] {
		return &wire.WaitResponse{Code: math.MinInt32 + 256, Signal: -1, Message: forged(3 << 20)}, nil
	}
	return resp, err
}

// Stat has folders below /evil.
func (l *liar) Stat(ctx context.Context, req *wire.StatRequest) (*wire.StatResponse, error) {
	switch name := evil(req.GetPath()); name {
	case "":
		return l.AgentService.Stat(ctx, req)
	case "stat":
		return nil, proto.Errorf(proto.CodeFailed, "%s", forged(3<<20))
	case "never":
		l.asked(name)
		never()
	}
	return &wire.StatResponse{Mode: unix.S_IFDIR | 0o755, Size: math.MinInt64, MtimeNanos: math.MinInt64, Target: forged(1 << 20)}, nil
}

// evil is what is asked for below /evil; "" for what is elsewhere.
func evil(asked string) string {
	if name, ok := strings.CutPrefix(path.Clean(asked), "/evil/"); ok {
		return name
	}
	return ""
}

// asked says on the console that something evil was asked for, and how often it was.
func (l *liar) asked(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asks[name]++
	l.log.Printf("hostile: asked for %s %d", name, l.asks[name])
}

// forged is text of n bytes that would clear a terminal, begin lines of ours and end none.
func forged(n int) string {
	const piece = "\x1b[2J\x1b]0;forged\x07\nnext: forged\r\nerror: forged\n\u202eforged\u009b31m\tforged\x00 "
	return strings.Repeat(piece, n/len(piece)+1)[:n/len(piece)*len(piece)]
}
