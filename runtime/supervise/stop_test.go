package supervise

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/ttrpc"

	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
	"microagent/runtime/guest/proto/wire"
	"microagent/runtime/layout"
	"microagent/runtime/machine"
	"microagent/runtime/supervise/outlog"
)

// silent is a guest that greets, and answers only what answers names.
type silent struct {
	wire.AgentService
	answers string
	over    chan struct{}
}

func (g silent) hang(call string) {
	if !strings.Contains(g.answers, call) {
		<-g.over
	}
}

func (g silent) Hello(_ context.Context, r *wire.HelloRequest) (*wire.HelloResponse, error) {
	return &wire.HelloResponse{Major: proto.Major, Minor: proto.Minor, Nonce: r.GetNonce(), Capabilities: []string{proto.CapFreeze}}, nil
}

func (g silent) Freeze(context.Context, *wire.FreezeRequest) (*wire.FreezeResponse, error) {
	g.hang("freeze")
	return &wire.FreezeResponse{}, nil
}

func (g silent) Thaw(context.Context, *wire.ThawRequest) (*wire.ThawResponse, error) {
	g.hang("thaw")
	return &wire.ThawResponse{}, nil
}

func (g silent) Mount(context.Context, *wire.MountRequest) (*wire.MountResponse, error) {
	g.hang("mount")
	return &wire.MountResponse{}, nil
}

func (g silent) Unmount(context.Context, *wire.UnmountRequest) (*wire.UnmountResponse, error) {
	g.hang("unmount")
	return &wire.UnmountResponse{}, nil
}

func (g silent) Signal(context.Context, *wire.SignalRequest) (*wire.SignalResponse, error) {
	g.hang("signal")
	return &wire.SignalResponse{}, nil
}

func (g silent) Start(context.Context, *wire.StartRequest) (*wire.StartResponse, error) {
	return &wire.StartResponse{}, nil
}

func (g silent) Wait(context.Context, *wire.WaitRequest) (*wire.WaitResponse, error) {
	g.hang("wait")
	return &wire.WaitResponse{}, nil
}

func (g silent) Sync(context.Context, *wire.SyncRequest) (*wire.SyncResponse, error) {
	g.hang("sync")
	return &wire.SyncResponse{}, nil
}

func (g silent) Shutdown(context.Context, *wire.ShutdownRequest) (*wire.ShutdownResponse, error) {
	g.hang("shutdown")
	return &wire.ShutdownResponse{}, nil
}

// pipes is a listener whose connections are one pipe.
type pipes struct {
	once  sync.Once
	conns chan net.Conn
	over  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.over:
		return nil, io.EOF
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.over) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{} }

// stuck is a supervisor of a guest that answers only some calls, and whose VMM is gone once it was killed.
func stuck(t *testing.T, spec driver.WorkspaceSpec, answers string) (*supervisor, *watch, *proto.Session) {
	t.Helper()
	guest := silent{answers: answers, over: make(chan struct{})}
	server, err := ttrpc.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	wire.RegisterAgentService(server, guest)
	l := &pipes{conns: make(chan net.Conn, 1), over: make(chan struct{})}
	go func() { _ = server.Serve(context.Background(), l) }()
	var streams []net.Conn
	session, err := proto.Connect(t.Context(), func(_ context.Context, port uint32) (net.Conn, error) {
		host, end := net.Pipe()
		if port == proto.ControlPort {
			l.conns <- end
			return host, nil
		}
		streams = append(streams, end) // and nobody reads it
		return host, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	folder := workspace(t)
	s := &supervisor{
		folder: folder, log: slog.New(slog.DiscardHandler), stop: make(chan struct{}), ended: make(chan struct{}),
		spec: Spec{Workspace: spec}, run: driver.Run{ID: "r", Phase: driver.PhaseReady},
	}
	if s.output, err = outlog.Create(folder.Dir); err != nil {
		t.Fatal(err)
	}
	s.guest, s.cut = context.WithCancel(context.Background())
	w := &watch{vm: &machine.VM{}, rebooted: make(chan struct{}, 1), done: make(chan struct{})}
	context.AfterFunc(s.guest, func() { close(w.done) })
	t.Cleanup(func() {
		s.stopTheClock()
		s.cut()
		session.Close()
		close(guest.over)
		for _, c := range streams {
			c.Close()
		}
		server.Close()
		s.output.Close()
		synctest.Wait()
	})
	return s, w, session
}

// TestStopEndsInTime: whatever a guest leaves unanswered, a run ends within its grace and five seconds of a stop, at once
// when it is forced, and says what that cost. The clock is the test's own.
func TestStopEndsInTime(t *testing.T) {
	const grace = 7 * time.Second
	task := driver.WorkspaceSpec{Name: "one", Process: driver.Process{Mode: driver.ModeTask}, Outputs: []driver.Output{{Name: "o", Path: "/o"}}}
	service := driver.WorkspaceSpec{Name: "one", Process: driver.Process{Mode: driver.ModeService}}
	idle := driver.WorkspaceSpec{Name: "one"}
	type life = func(s *supervisor, w *watch, session *proto.Session) error
	finish := func(s *supervisor, w *watch, session *proto.Session) error {
		return s.finish(s.guest, w, session, exited{}, false)
	}
	serve := func(s *supervisor, w *watch, session *proto.Session) error {
		process, err := session.Start(s.guest, proto.ExecSpec{ID: mainID, Main: true}, proto.Streams{})
		if err == nil {
			_, err = s.serve(s.guest, w, session, process, nil)
		}
		return err
	}
	for name, tc := range map[string]struct {
		spec    driver.WorkspaceSpec
		answers string
		life    life
		lost    string
	}{
		"signal":    {service, "", serve, "its process had not ended"},
		"wait":      {service, "signal", serve, "its process had not ended"},
		"sync":      {service, "", finish, "not written to its disks"},
		"outputs":   {task, "sync", finish, "it was not collected"},
		"power off": {service, "sync", finish, "not powered off"},
		"idle": {idle, "", func(s *supervisor, w *watch, session *proto.Session) error {
			_, err := s.serve(s.guest, w, session, nil, nil)
			return err
		}, "not powered off"},
	} {
		for _, force := range []bool{false, true} {
			t.Run(name+map[bool]string{true: " forced"}[force], func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s, w, session := stuck(t, tc.spec, tc.answers)
					ended := make(chan error, 1)
					go func() { ended <- tc.life(s, w, session) }()
					synctest.Wait() // it hangs
					began := time.Now()
					s.requestStop(stopRequest{grace: grace, force: force})
					if err := <-ended; err != nil {
						t.Errorf("the run failed: %v", err)
					}
					limit := grace + stopMargin + collectHurry
					if force {
						limit = collectHurry
					}
					if took := time.Since(began); took > limit {
						t.Errorf("it took %s, allowed are %s", took, limit)
					}
					run := s.snapshot()
					told := strings.Join(run.Diagnostics, "\n")
					for _, c := range run.Collected {
						told += "\n" + c.Error
					}
					if run.Phase.Alive() || !s.forced {
						t.Errorf("run %+v, forced %v", run, s.forced)
					}
					if !force && !strings.Contains(told, tc.lost) {
						t.Errorf("it says %q", told)
					}
					var saved driver.Run
					if err := layout.ReadJSON(s.folder.Run(), &saved); err != nil || saved.Phase.Alive() {
						t.Errorf("run.json: %+v, %v", saved, err)
					}
				})
			})
		}
	}
	if grace+stopMargin+collectHurry+answerHurry+settleAnswers > grace+5*time.Second {
		t.Error("the parts of a stop are longer than what is promised")
	}
}

// TestForceOvertakes: a force in the middle of a patient stop ends it at once.
func TestForceOvertakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, w, session := stuck(t, driver.WorkspaceSpec{Name: "one"}, "")
		ended := make(chan error, 1)
		go func() { _, err := s.serve(s.guest, w, session, nil, nil); ended <- err }()
		s.requestStop(stopRequest{grace: time.Hour})
		time.Sleep(time.Minute)
		began := time.Now()
		s.requestStop(stopRequest{force: true})
		if err := <-ended; err != nil || time.Since(began) > 0 {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

// TestStopThatWentWellIsNotForced: the time that a stop has ends with the run.
func TestStopThatWentWellIsNotForced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, _ := stuck(t, driver.WorkspaceSpec{Name: "one"}, "")
		s.requestStop(stopRequest{grace: time.Second})
		s.stopTheClock()
		time.Sleep(time.Minute)
		if s.forced || s.wasCut() {
			t.Error("it was cut short after its end")
		}
	})
}
