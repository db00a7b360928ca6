package supervise

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
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
	"microagent/runtime/lease"
	"microagent/runtime/machine/rotate"
	"microagent/runtime/supervise/control"
	"microagent/runtime/supervise/outlog"
)

// jobGuest is a guest whose processes write "out" and run until the test or a signal ends them.
type jobGuest struct {
	wire.AgentService
	deaf bool   // to SIGTERM
	mute bool   // of the end of a process
	tree []byte // that is fetched; none: and nothing comes

	mu      sync.Mutex
	procs   map[string]chan *wire.WaitResponse
	signals []string
}

func (g *jobGuest) Hello(_ context.Context, r *wire.HelloRequest) (*wire.HelloResponse, error) {
	return &wire.HelloResponse{Major: proto.Major, Minor: proto.Minor, Nonce: r.GetNonce()}, nil
}

func (g *jobGuest) process(id string) chan *wire.WaitResponse {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.procs[id] == nil {
		g.procs[id] = make(chan *wire.WaitResponse, 1)
	}
	return g.procs[id]
}

func (g *jobGuest) Start(context.Context, *wire.StartRequest) (*wire.StartResponse, error) {
	return &wire.StartResponse{}, nil
}

func (g *jobGuest) Wait(ctx context.Context, r *wire.WaitRequest) (*wire.WaitResponse, error) {
	select {
	case exit := <-g.process(r.GetId()):
		return exit, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (g *jobGuest) Signal(_ context.Context, r *wire.SignalRequest) (*wire.SignalResponse, error) {
	g.mu.Lock()
	g.signals = append(g.signals, r.GetSignal())
	g.mu.Unlock()
	code := map[string]int32{"SIGTERM": 143, "SIGKILL": 137}[r.GetSignal()]
	if code != 0 && !g.mute && (code == 137 || !g.deaf) {
		select {
		case g.process(r.GetId()) <- &wire.WaitResponse{Code: code}:
		default:
		}
	}
	return &wire.SignalResponse{}, nil
}

func (g *jobGuest) exit(id string, code int32) {
	g.process("job-" + id) <- &wire.WaitResponse{Code: code}
}

// serve is what a process's stream says: all of it at once.
func (g *jobGuest) serve(conn net.Conn) {
	h, st, err := proto.Accept(conn, time.Minute)
	if err != nil || st.Ok() != nil {
		return
	}
	switch h.GetKind() {
	case proto.KindFetch:
		if g.tree == nil {
			st.DrainInput()
			return
		}
		_, _ = st.Write(g.tree)
	case proto.KindStdout:
		_, _ = io.WriteString(st, "out")
	}
	_ = st.CloseWrite()
}

// working is a supervisor whose guest is up.
func working(t *testing.T, guest *jobGuest) (calls, *life) {
	t.Helper()
	guest.procs = map[string]chan *wire.WaitResponse{}
	server, err := ttrpc.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	wire.RegisterAgentService(server, guest)
	l := &pipes{conns: make(chan net.Conn, 1), over: make(chan struct{})}
	go func() { _ = server.Serve(context.Background(), l) }()
	session, err := proto.Connect(t.Context(), func(_ context.Context, port uint32) (net.Conn, error) {
		host, end := net.Pipe()
		if port == proto.ControlPort {
			l.conns <- end
		} else {
			go guest.serve(end)
		}
		return host, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	self, err := lease.Self()
	if err != nil {
		t.Fatal(err)
	}
	s := &supervisor{
		folder: workspace(t), log: slog.New(slog.DiscardHandler), stop: make(chan struct{}), ended: make(chan struct{}), self: self,
		spec: Spec{Workspace: driver.WorkspaceSpec{Name: "one"}}, run: driver.Run{ID: "r", Phase: driver.PhaseReady},
		life: &life{session: session, run: "r", over: make(chan struct{})},
	}
	s.guest, s.cut = context.WithCancel(context.Background())
	t.Cleanup(func() {
		s.stopTheClock()
		s.cut()
		session.Close()
		server.Close()
		if s.life.ended == "" {
			s.life.end("one", false, nil, s.snapshot())
		}
		if !s.jobs.settle(time.Minute) {
			t.Error("a job's goroutine is left")
		}
		synctest.Wait()
	})
	return calls{s}, s.life
}

func begin(t *testing.T, s calls) driver.Job {
	t.Helper()
	time.Sleep(time.Millisecond) // of the test's own clock: jobs are told apart by it
	j, err := s.StartJob(t.Context(), driver.JobSpec{Exec: driver.ExecSpec{Argv: []string{"sleep"}}})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func onDisk(t *testing.T, s calls, id string) driver.Job {
	t.Helper()
	j, err := control.ReadJob(s.folder, id)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// TestHowAJobEnds: by itself, with its guest in each way that a guest goes, or stopped; the record says which.
func TestHowAJobEnds(t *testing.T) {
	for name, c := range map[string]struct {
		end   func(s calls, l *life, g *jobGuest, id string)
		state driver.JobState
		code  int // -1: none
		why   string
	}{
		"by itself":            {func(_ calls, _ *life, g *jobGuest, id string) { g.exit(id, 3) }, driver.JobExited, 3, ""},
		"a code that can't be": {func(_ calls, _ *life, g *jobGuest, id string) { g.exit(id, 256) }, driver.JobExited, 255, ""},
		"reboot": {func(s calls, l *life, _ *jobGuest, _ string) {
			l.session.Close()
			l.end("one", true, nil, s.snapshot())
		}, driver.JobLost, -1, "the guest rebooted"},
		"crash": {func(s calls, l *life, _ *jobGuest, _ string) {
			l.session.Close()
			l.end("one", false, &driver.CrashError{Reason: "kernel panic"}, s.snapshot())
		}, driver.JobLost, -1, "the guest broke: kernel panic"},
		"the run ended": {func(s calls, l *life, g *jobGuest, id string) {
			if err := s.conclude(func(r *driver.Run) { r.Phase = driver.PhaseFinished }); err != nil {
				panic(err)
			}
			g.exit(id, 137)
		}, driver.JobLost, -1, "the workspace's run ended"},
		"stop": {func(s calls, _ *life, g *jobGuest, id string) {
			s.requestStop(stopRequest{})
			g.exit(id, 143)
		}, driver.JobStopped, 143, "the workspace was stopped"},
		"stop by force": {func(s calls, l *life, _ *jobGuest, _ string) {
			s.requestStop(stopRequest{force: true})
			l.session.Close()
			l.end("one", false, nil, s.snapshot())
		}, driver.JobStopped, -1, "the workspace was stopped"},
		"no word of why": {func(_ calls, l *life, _ *jobGuest, _ string) { l.session.Close() }, driver.JobLost, -1, "wait for process: connection to the guest"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &jobGuest{}
				s, l := working(t, g)
				j := begin(t, s)
				if j.State != driver.JobRunning || j.RunID != "r" || onDisk(t, s, j.ID).State != driver.JobRunning {
					t.Fatalf("begun: %+v", j)
				}
				synctest.Wait() // what it wrote is there
				c.end(s, l, g, j.ID)
				end, err := s.WaitJob(t.Context(), j.ID)
				if errors.Is(err, driver.ErrNotFound) { // it was faster
					end, err = onDisk(t, s, j.ID), nil
				}
				if err != nil {
					t.Fatal(err)
				}
				code := -1
				if end.ExitCode != nil {
					code = *end.ExitCode
				}
				if end.State != c.state || code != c.code || !strings.Contains(end.Error, c.why) || c.why == "" && end.Error != "" || end.Ended == nil {
					t.Errorf("ended: %s %d %q", end.State, code, end.Error)
				}
				if kept := onDisk(t, s, j.ID); kept.State != end.State || kept.Error != end.Error {
					t.Errorf("job.json says %+v", kept)
				}
				text := ""
				r, err := rotate.Open(s.folder.Job(j.ID).File(layout.OutputLog))
				if err == nil {
					err = outlog.Read(r, func(_ byte, data []byte) error { text += string(data); return nil })
					r.Close()
				}
				if err != nil || text != "out" {
					t.Errorf("its log has %q, %v", text, err)
				}
			})
		})
	}
}

// TestStopJob: asked, then killed, and no more than asked for is done to one that ends; also when who asked goes away.
func TestStopJob(t *testing.T) {
	for _, c := range []struct {
		name       string
		deaf, mute bool
		force      bool
		leaves     bool // the client, at once
		signals    string
		code       int
		took       time.Duration
		unanswered bool
	}{
		{name: "it ends", signals: "SIGTERM SIGCONT", code: 143},
		{name: "it is deaf", deaf: true, signals: "SIGTERM SIGCONT SIGKILL", code: 137, took: 7 * time.Second},
		{name: "by force", deaf: true, force: true, signals: "SIGKILL", code: 137},
		{name: "the client leaves", deaf: true, leaves: true, signals: "SIGTERM SIGCONT SIGKILL", code: 137, took: 7 * time.Second},
		{name: "nobody tells of its end", mute: true, signals: "SIGTERM SIGCONT SIGKILL", took: 7*time.Second + killLimit, unanswered: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &jobGuest{deaf: c.deaf, mute: c.mute}
				s, _ := working(t, g)
				j := begin(t, s)
				began := time.Now()
				ctx, leave := context.WithCancel(t.Context())
				if c.leaves {
					leave()
				}
				got, err := s.StopJob(ctx, j.ID, 7*time.Second, c.force)
				leave()
				switch {
				case c.unanswered:
					if !errors.Is(err, driver.ErrUnavailable) || driver.Next(err) == "" {
						t.Errorf("%+v, %v", got, err)
					}
				case c.leaves:
					if !errors.Is(err, context.Canceled) {
						t.Errorf("%+v, %v", got, err)
					}
					if got, err = s.WaitJob(t.Context(), j.ID); err != nil {
						t.Fatal(err)
					}
					fallthrough
				default:
					if err != nil && !c.leaves || got.State != driver.JobStopped || got.ExitCode == nil || *got.ExitCode != c.code {
						t.Errorf("%+v, %v", got, err)
					}
				}
				if took := time.Since(began); took != c.took {
					t.Errorf("it took %s, not %s", took, c.took)
				}
				g.mu.Lock()
				defer g.mu.Unlock()
				if got := strings.Join(g.signals, " "); got != c.signals {
					t.Errorf("signals %s", got)
				}
			})
		})
	}
}

// TestAClientThatGoesAway: its process is hung up, and woken so that it hears of it.
func TestAClientThatGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &jobGuest{}
		s, _ := working(t, g)
		ctx, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		_, err := s.Exec(ctx, control.Exec{ID: "exec-1", Spec: driver.ExecSpec{Argv: []string{"sleep"}}}, control.ExecStreams{Stdout: io.Discard, Stderr: io.Discard})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the exec ended with %v", err)
		}
		synctest.Wait() // the signals have an owner of their own
		g.mu.Lock()
		defer g.mu.Unlock()
		if got := strings.Join(g.signals, " "); got != "SIGHUP SIGCONT" {
			t.Errorf("signals %s", got)
		}
	})
}

// TestJobsAreBounded: those that run, those that ended, and those that hold what nobody brought out.
func TestJobsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &jobGuest{}
		s, _ := working(t, g)
		var running []driver.Job
		for range driver.MaxRunningJobs {
			running = append(running, begin(t, s))
		}
		_, err := s.StartJob(t.Context(), driver.JobSpec{Exec: driver.ExecSpec{Argv: []string{"true"}}})
		if !errors.Is(err, driver.ErrRefused) || driver.Next(err) == "" {
			t.Errorf("one more than may run: %v", err)
		}
		for _, j := range running[1:] {
			g.exit(j.ID, 0)
		}
		synctest.Wait()
		for range 2 * driver.MaxEndedJobs {
			j := begin(t, s)
			g.exit(j.ID, 0)
			synctest.Wait()
		}
		list, err := control.ListJobs(s.folder)
		if err != nil || len(list) != driver.MaxEndedJobs+1 { // and the one that runs
			t.Errorf("%d jobs are kept, %v", len(list), err)
		}
		if list[0].ID != running[0].ID || list[0].State != driver.JobRunning {
			t.Errorf("the oldest, which runs, is not kept: %+v", list[0])
		}
		held := list[1:]
		for _, j := range held {
			j.Collected = []driver.Fetched{{Name: "o"}}
			if err := control.WriteJob(s.folder, j); err != nil {
				t.Fatal(err)
			}
		}
		_, err = s.StartJob(t.Context(), driver.JobSpec{Exec: driver.ExecSpec{Argv: []string{"true"}}})
		if !errors.Is(err, driver.ErrRefused) || !strings.Contains(driver.Next(err), "wait --job "+held[0].ID) {
			t.Errorf("one that would take others' outputs: %v, next %s", err, driver.Next(err))
		}
		taken := s.folder.Job(held[5].ID).File(layout.JobTakenDir)
		if err := os.MkdirAll(taken, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(taken+"/o", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		begin(t, s)
		if list, err = control.ListJobs(s.folder); err != nil || slices.ContainsFunc(list, func(j driver.Job) bool { return j.ID == held[5].ID }) {
			t.Errorf("the one whose output was brought out is still there, %v", err)
		}
		if !slices.ContainsFunc(list, func(j driver.Job) bool { return j.ID == held[0].ID }) {
			t.Error("one with an output is gone")
		}
	})
}

// TestOutputsOfAJobWhoseGuestGoes: what was being collected says why it did not come, and the job's own end stays.
func TestOutputsOfAJobWhoseGuestGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &jobGuest{}
		s, l := working(t, g)
		j, err := s.StartJob(t.Context(), driver.JobSpec{Exec: driver.ExecSpec{Argv: []string{"true"}}, Outputs: []driver.JobOutput{{Name: "o", From: "/o", To: "/x/o"}}})
		if err != nil {
			t.Fatal(err)
		}
		g.exit(j.ID, 0)
		synctest.Wait() // it is collected
		if now := onDisk(t, s, j.ID); now.State != driver.JobRunning {
			t.Fatalf("%+v", now)
		}
		l.end("one", true, nil, s.snapshot())
		synctest.Wait()
		end := onDisk(t, s, j.ID)
		if end.State != driver.JobExited || len(end.Collected) != 1 || end.Collected[0].Error != "it was not collected: the guest rebooted" || end.Holds() {
			t.Errorf("%+v", end)
		}
	})
}

// TestAJobsEndThatCantBeWritten is known to those who ask while the supervisor lives.
func TestAJobsEndThatCantBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &jobGuest{}
		s, _ := working(t, g)
		j := begin(t, s)
		folder := s.folder.Job(j.ID).Dir
		if err := os.Rename(folder, folder+".away"); err != nil {
			t.Fatal(err)
		}
		g.exit(j.ID, 3)
		end, err := s.WaitJob(t.Context(), j.ID)
		if err != nil || end.State != driver.JobExited || *end.ExitCode != 3 {
			t.Errorf("%+v, %v", end, err)
		}
	})
}

func TestShortArgv(t *testing.T) {
	long := strings.Repeat("x", maxArgv)
	if got := shortArgv([]string{"a", long, "b"}); len(got) != 2 || got[0] != "a" || got[1] != "..." {
		t.Errorf("%d words", len(got))
	}
	if got := shortArgv([]string{"a", "b"}); !slices.Equal(got, []string{"a", "b"}) {
		t.Error(got)
	}
}
