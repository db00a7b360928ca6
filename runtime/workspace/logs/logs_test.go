package logs

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/lease"
	"microagent/runtime/network/denial"
	"microagent/runtime/supervise/control"
	"microagent/runtime/supervise/outlog"
)

// house is a state directory whose workspaces are written as supervisors do.
type house struct {
	t     *testing.T
	state layout.State
}

func newHouse(t *testing.T) house { return house{t, layout.State{Dir: t.TempDir()}} }

// workspace makes one that never ran.
func (h house) workspace(name string) driver.Workspace {
	h.t.Helper()
	dir := h.state.Workspace(name).Dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		h.t.Fatal(err)
	}
	return driver.Workspace{Spec: driver.WorkspaceSpec{Name: name}, Folder: dir}
}

// run writes run.json: of a run that this process supervises.
func (h house) run(ws *driver.Workspace, id string, phase driver.Phase, code *int) {
	h.t.Helper()
	self, err := lease.Self()
	if err != nil {
		h.t.Fatal(err)
	}
	run := driver.Run{ID: id, Phase: phase, Started: time.Now(), PID: self.PID, BootID: self.BootID, Start: self.Start, ExitCode: code}
	if err := control.WriteRun(layout.Workspace{Dir: ws.Folder}, run); err != nil {
		h.t.Fatal(err)
	}
	ws.Run = &run
}

// log begins a log as a supervisor does.
func (h house) log(ws driver.Workspace) *outlog.Log {
	h.t.Helper()
	l, err := outlog.Create(ws.Folder)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(l.Close)
	return l
}

func write(t *testing.T, l *outlog.Log, text string) {
	t.Helper()
	w := l.Stdout()
	if rest, ok := strings.CutPrefix(text, "!"); ok {
		w, text = l.Stderr(), rest
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

// tick waits until the clock of logs has gone on.
func tick() {
	for now := time.Now().UnixMilli(); time.Now().UnixMilli() == now; {
	}
}

func collect(t *testing.T, r Request) (text string) {
	t.Helper()
	err := Each(t.Context(), r, func(w driver.Written) error {
		text += fmt.Sprintf("%s:%s:%s|", w.Workspace, w.Stream, w.Data)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestSeveralComeInTheOrderOfTime(t *testing.T) {
	h := newHouse(t)
	a, b, c := h.workspace("a"), h.workspace("b"), h.workspace("never")
	la, lb := h.log(a), h.log(b)
	for _, p := range []struct {
		l    *outlog.Log
		text string
	}{{la, "1\n"}, {lb, "2\n"}, {lb, "!3\n"}, {la, "4\n"}, {lb, "5\n"}} {
		write(t, p.l, p.text)
		tick()
	}
	all := Request{Of: []driver.Workspace{a, b, c}}
	if got, want := collect(t, all), "a:stdout:1\n|b:stdout:2\n|b:stderr:3\n|a:stdout:4\n|b:stdout:5\n|"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	all.Stream = "stdout"
	all.Tail = new(1)
	if got, want := collect(t, all), "a:stdout:4\n|b:stdout:5\n|"; got != want {
		t.Errorf("the last of each: %q, want %q", got, want)
	}
}

func TestSinceBeginsWithALine(t *testing.T) {
	h := newHouse(t)
	ws := h.workspace("a")
	l := h.log(ws)
	write(t, l, "old\nhalf ")
	write(t, l, "!err\n")
	tick()
	since := time.Now()
	write(t, l, "rest\nnew\n")
	write(t, l, "!late\n")
	r := Request{Of: []driver.Workspace{ws}, LogOptions: driver.LogOptions{Since: since.Truncate(time.Millisecond)}}
	if got, want := collect(t, r), "a:stdout:new\n|a:stderr:late\n|"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	r.Tail = new(1)
	if got, want := collect(t, r), "a:stderr:late\n|"; got != want {
		t.Errorf("the last of them: %q, want %q", got, want)
	}
	r.Since = time.Now().Add(time.Hour)
	if got := collect(t, r); got != "" {
		t.Errorf("of the future %q", got)
	}
}

// TestALogWithoutTimes is what version f365b52 wrote: records alone.
func TestALogWithoutTimes(t *testing.T) {
	h := newHouse(t)
	ws := h.workspace("old")
	h.run(&ws, "1", driver.PhaseFinished, new(0))
	data := []byte{outlog.Stdout}
	data = append(binary.BigEndian.AppendUint32(data, 3), "one"...)
	data = append(binary.BigEndian.AppendUint32(append(data, outlog.Stderr), 4), "two\n"...)
	path := layout.Workspace{Dir: ws.Folder}.File(layout.OutputLog)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	r := Request{Of: []driver.Workspace{ws}}
	if got, want := collect(t, r), "old:stdout:one|old:stderr:two\n|"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	r.Since = time.Now().Add(-time.Hour)
	if got := collect(t, r); got == "" {
		t.Error("what may be newer is left out")
	}
	if r.Since = time.Now().Add(time.Hour); collect(t, r) != "" {
		t.Error("what is older for sure is given")
	}
}

// following gives what a follower is given, a line of text for each.
func following(t *testing.T, r Request) (got chan string, end func() error) {
	t.Helper()
	r.Follow = true
	got = make(chan string, 1<<16)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- Each(ctx, r, func(w driver.Written) error {
			if w.Run != nil {
				got <- fmt.Sprintf("%s: %s %s", w.Workspace, w.Run.ID, w.Run.Phase)
			} else {
				got <- w.Workspace + ":" + string(w.Data)
			}
			return nil
		})
		close(got)
	}()
	return got, func() error { cancel(); return <-done }
}

func expect(t *testing.T, got chan string, want ...string) {
	t.Helper()
	for _, w := range want {
		select {
		case g := <-got:
			if g != w {
				t.Fatalf("got %q, want %q", g, w)
			}
		case <-time.After(time.Minute):
			t.Fatalf("nothing came, want %q", w)
		}
	}
}

// TestDenials are read of several workspaces in the order of time, and followed as they come.
func TestDenials(t *testing.T) {
	h := newHouse(t)
	a, b := h.workspace("a"), h.workspace("b")
	began := time.Now().UTC().Truncate(time.Millisecond)
	deny := func(ws driver.Workspace, after int, rule string) string {
		t.Helper()
		d := driver.Denial{Time: began.Add(time.Duration(after) * time.Second), Stage: "dns", Rule: rule, Count: 1}
		if err := denial.Append(layout.Workspace{Dir: ws.Folder}.File(layout.NetworkLog), d); err != nil {
			t.Fatal(err)
		}
		line, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		return string(line) + "\n"
	}
	one, three, two := deny(a, 1, "one"), deny(a, 3, "three"), deny(b, 2, "two")
	r := Request{Of: []driver.Workspace{a, b}, LogOptions: driver.LogOptions{Stream: "network"}}
	if got, want := collect(t, r), "a:network:"+one+"|b:network:"+two+"|a:network:"+three+"|"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	r.Tail, r.Since = new(1), began.Add(2*time.Second)
	if got, want := collect(t, r), "b:network:"+two+"|a:network:"+three+"|"; got != want {
		t.Errorf("the last of each: %q, want %q", got, want)
	}
	h.run(&a, "1", driver.PhaseReady, nil)
	r = Request{Of: []driver.Workspace{a}, LogOptions: r.LogOptions}
	got, end := following(t, r)
	expect(t, got, "a:"+three)
	expect(t, got, "a:"+deny(a, 4, "four"))
	if err := end(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// all is asked for what is and comes in a house.
func (h house) all() Request {
	return Request{Folder: h.state.Workspaces(), Later: func(name string) (driver.Workspace, bool) {
		return driver.Workspace{Spec: driver.WorkspaceSpec{Name: name}}, true
	}}
}

// follower is one of all, to be told of changes by the test. got is what it has given.
func (h house) follower() (f *follower, got func() string, ctx context.Context) {
	h.t.Helper()
	var given []string
	f = &follower{Request: h.all(), sources: map[string]*source{}, gone: make(chan string), each: func(w driver.Written) error {
		given = append(given, w.Workspace+":"+string(w.Data))
		return nil
	}}
	var err error
	if f.watch, err = newWatcher(); err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(h.t.Context())
	h.t.Cleanup(func() { cancel(); f.awaits.Wait(); f.watch.close(); f.close() })
	return f, func() string { return strings.Join(given, " ") }, ctx
}

// TestFollowEndsWithTheRuns: a follower of named workspaces ends when each has written all.
func TestFollowEndsWithTheRuns(t *testing.T) {
	h := newHouse(t)
	a, b := h.workspace("a"), h.workspace("b")
	la, lb := h.log(a), h.log(b)
	h.run(&a, "1", driver.PhaseRunning, nil)
	h.run(&b, "2", driver.PhaseFinished, new(0))
	write(t, lb, "done")
	got, end := following(t, Request{Of: []driver.Workspace{a, b}})
	expect(t, got, "b:done")
	write(t, la, "x")
	expect(t, got, "a:x")
	write(t, la, "last")
	h.run(&a, "1", driver.PhaseFinished, new(3))
	expect(t, got, "a:last", "a: 1 finished")
	if _, more := <-got; more {
		t.Error("it goes on")
	}
	if err := end(); err != nil {
		t.Error(err)
	}
}

// TestFollowGoesThroughTurns: a log that is turned while it is followed, at each hundredth line, loses and doubles nothing.
func TestFollowGoesThroughTurns(t *testing.T) {
	h := newHouse(t)
	ws := h.workspace("a")
	l := h.log(ws)
	h.run(&ws, "1", driver.PhaseRunning, nil)
	got, end := following(t, Request{Of: []driver.Workspace{ws}, LogOptions: driver.LogOptions{Tail: new(3)}})
	pad := strings.Repeat("x", 1<<20)
	for i := range 70 { // more than four turns
		text := fmt.Sprint(i, pad, "\n")
		write(t, l, text)
		expect(t, got, "a:"+text)
	}
	h.run(&ws, "1", driver.PhaseFinished, new(0))
	expect(t, got, "a: 1 finished")
	if err := end(); err != nil {
		t.Error(err)
	}
}

// TestFollowGoesOnWithTheNextRun and with a workspace that comes later.
func TestFollowGoesOnWithTheNextRun(t *testing.T) {
	h := newHouse(t)
	a := h.workspace("a")
	l := h.log(a)
	h.run(&a, "1", driver.PhaseRunning, nil)
	write(t, l, "first")
	got, end := following(t, Request{Of: []driver.Workspace{a}, Folder: h.state.Workspaces(), Later: func(name string) (driver.Workspace, bool) {
		_, err := os.Stat(h.state.Workspace(name).Record())
		return driver.Workspace{Spec: driver.WorkspaceSpec{Name: name}}, err == nil && name != "foreign"
	}})
	expect(t, got, "a:first")
	h.run(&a, "1", driver.PhaseFinished, new(1))
	expect(t, got, "a: 1 finished")
	l = h.log(a) // begun anew, as each run does
	h.run(&a, "2", driver.PhaseStarting, nil)
	expect(t, got, "a: 2 starting")
	write(t, l, "second")
	expect(t, got, "a:second")

	for _, name := range []string{"foreign", "b"} {
		ws := h.workspace(name)
		write(t, h.log(ws), "of "+name)
		h.run(&ws, name+"1", driver.PhaseRunning, nil)
		if err := os.WriteFile(h.state.Workspace(name).Record(), []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, got, "b: b1 running", "b:of b")
	if err := end(); err != context.Canceled {
		t.Error(err)
	}
}

// A workspace that comes while its followers begin is in no list of theirs, and its folder is told of before it is watched.
func TestFollowTakesInWhatCameBeforeTheWatch(t *testing.T) {
	h := newHouse(t)
	a := h.workspace("a")
	h.run(&a, "1", driver.PhaseRunning, nil)
	write(t, h.log(a), "first")
	got, end := following(t, h.all())
	expect(t, got, "a: 1 running", "a:first")
	h.run(&a, "1", driver.PhaseFinished, new(6))
	expect(t, got, "a: 1 finished")
	if err := end(); err != context.Canceled {
		t.Error(err)
	}
}

// A workspace that is deleted and made anew is followed as before.
func TestFollowGoesOnInAFolderThatIsMadeAnew(t *testing.T) {
	h := newHouse(t)
	a := h.workspace("a")
	h.run(&a, "1", driver.PhaseRunning, nil)
	write(t, h.log(a), "first")
	got, end := following(t, h.all())
	expect(t, got, "a: 1 running", "a:first")
	if err := os.RemoveAll(a.Folder); err != nil {
		t.Fatal(err)
	}
	a = h.workspace("a")
	l := h.log(a)
	h.run(&a, "2", driver.PhaseRunning, nil)
	expect(t, got, "a: 2 running")
	write(t, l, "second")
	expect(t, got, "a:second")
	if err := end(); err != context.Canceled {
		t.Error(err)
	}
}

// A folder that a look found is told of afterwards: what it has is given once.
func TestAFolderIsTakenInOnce(t *testing.T) {
	h := newHouse(t)
	a := h.workspace("a")
	h.run(&a, "1", driver.PhaseRunning, nil)
	write(t, h.log(a), "first")
	f, got, ctx := h.follower()
	for range 2 {
		if err := f.newFolder(ctx, a.Folder); err != nil {
			t.Fatal(err)
		}
	}
	if got() != "a: a:first" {
		t.Errorf("%q", got())
	}
}

// TestRawLogsAreFollowed: they have no times, and no records.
func TestRawLogsAreFollowed(t *testing.T) {
	for stream, file := range map[string]string{"console": layout.ConsoleLog, "supervisor": layout.SupervisorLog, "vmm": layout.VMMLog} {
		t.Run(stream, func(t *testing.T) {
			h := newHouse(t)
			ws := h.workspace("a")
			h.run(&ws, "1", driver.PhaseRunning, nil)
			log, err := os.Create(layout.Workspace{Dir: ws.Folder}.File(file))
			if err != nil {
				t.Fatal(err)
			}
			defer log.Close()
			fmt.Fprint(log, "boot\nup\n")
			got, end := following(t, Request{Of: []driver.Workspace{ws}, LogOptions: driver.LogOptions{Stream: stream, Tail: new(1)}})
			expect(t, got, "a:up\n")
			fmt.Fprint(log, "panic\n")
			expect(t, got, "a:panic\n")
			_ = end()
			if err := CheckStream("show logs", "a", stream); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestLostChangesAreFound: when too much happened at once to be told, a look at all finds it.
func TestLostChangesAreFound(t *testing.T) {
	h := newHouse(t)
	a := h.workspace("a")
	h.run(&a, "1", driver.PhaseRunning, nil)
	f, got, ctx := h.follower()
	if err := f.join(ctx, a); err != nil {
		t.Fatal(err)
	}
	write(t, h.log(a), "x")
	b := h.workspace("b")
	write(t, h.log(b), "y")
	if err := f.takeAll(ctx, changes{lost: true}); err != nil {
		t.Fatal(err)
	}
	if got() != "a:x b:y" {
		t.Errorf("%q", got())
	}
}

// What is lost can be that a folder was made anew: it is watched as the one before was.
func TestAFolderThatCameUnseenIsWatched(t *testing.T) {
	h := newHouse(t)
	a := h.workspace("a")
	f, got, ctx := h.follower()
	if err := f.join(ctx, a); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(a.Folder); err != nil {
		t.Fatal(err)
	}
	a = h.workspace("a")
	if err := f.takeAll(ctx, changes{lost: true}); err != nil {
		t.Fatal(err)
	}
	write(t, h.log(a), "x")
	for got() == "" {
		select {
		case c := <-f.watch.changes:
			if err := f.takeAll(ctx, c); err != nil {
				t.Fatal(err)
			}
		case <-time.After(time.Minute):
			t.Fatal("nothing is told of it")
		}
	}
	if got() != "a:x" {
		t.Errorf("%q", got())
	}
}
