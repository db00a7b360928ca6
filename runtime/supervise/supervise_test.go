package supervise

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"microagent/runtime/disk/ext4/super"
	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/lease"
)

func TestFailuresCrossAPipe(t *testing.T) {
	crash := &driver.CrashError{Workspace: "one", Phase: "boot", Reason: "kernel panic", Console: []string{"last"}}
	for _, err := range []error{
		&driver.Error{Class: driver.ErrBusy, Op: "attach volume", Object: "data", Err: errors.New("held"), Next: "microagent halt x"},
		&driver.Error{Class: driver.ErrNotFound, Op: "start", Object: "x"},
		fmt.Errorf("more: %w", &driver.Error{Class: driver.ErrStale, Op: "a", Object: "b", Err: errors.New("c"), Next: "d"}),
		fmt.Errorf("in the middle: %w", crash),
		errors.New("plain"),
	} {
		got := failure(err).Error()
		if driver.ClassName(got) != driver.ClassName(err) {
			t.Errorf("%v: class %q is %q", err, driver.ClassName(err), driver.ClassName(got))
		}
		if driver.Next(got) != driver.Next(err) {
			t.Errorf("%v: next %q", err, driver.Next(got))
		}
		if !strings.HasSuffix(err.Error(), got.Error()) {
			t.Errorf("%q became %q", err, got)
		}
	}
	for name, class := range map[string]error{"guest": driver.ErrGuest, "unsupported": driver.ErrUnsupported, "busy": driver.ErrBusy} {
		if err := (&Failure{Class: name, Op: "x"}).Error(); !errors.Is(err, class) {
			t.Errorf("%q of an older supervisor is %v", name, err)
		}
	}
	if failure(nil).Error() != nil {
		t.Error("no error became one")
	}
}

func TestOutputKeepsOrderAcrossTurns(t *testing.T) {
	dir := t.TempDir()
	l, err := newOutlog(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	type piece struct {
		stream byte
		text   string
	}
	var got []piece
	first := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- l.follow(t.Context(), func(stream byte, data []byte) error {
			if len(got) == 0 {
				close(first)
			}
			got = append(got, piece{stream, string(data)})
			return nil
		})
	}()
	var want []piece
	block := strings.Repeat("x", 1<<20)
	for i := range 40 { // more than two turns of the log
		text := fmt.Sprintf("%d%s", i, block)
		w, stream := l.stdout(), byte(1)
		if i%3 == 0 {
			w, stream = l.stderr(), 2
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
		want = append(want, piece{stream, text})
		if i == 0 {
			<-first
		}
	}
	l.end()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	// A follower that is too slow may miss some; what it has is in order and ends with the newest.
	if len(got) < 16 || got[len(got)-1] != want[39] {
		t.Fatalf("followed %d records", len(got))
	}
	at := -1
	for _, p := range got {
		i := at + 1
		for i < len(want) && want[i] != p {
			i++
		}
		if i == len(want) {
			t.Fatalf("record %.20q of stream %d is out of order", p.text, p.stream)
		}
		at = i
	}
	var total int64
	entries, err := filepath.Glob(filepath.Join(dir, layout.OutputLog+"*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range entries {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	if total > 2*outputLimit {
		t.Errorf("the log has %d bytes", total)
	}
}

func FuzzReadOutput(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00\x02hi\x02\x00\x00\x00\x00"))
	f.Add([]byte("\x01\xff\xff\xff\xffhi"))
	f.Fuzz(func(t *testing.T, data []byte) {
		total := 0
		err := ReadOutput(bytes.NewReader(data), func(_ byte, p []byte) error {
			total += logHeader + len(p)
			return nil
		})
		if total > len(data) {
			t.Errorf("%d bytes out of %d, %v", total, len(data), err)
		}
	})
}

type duplex struct {
	io.Reader
	io.Writer
}

func FuzzReceive(f *testing.F) {
	f.Add([]byte("Q\x00\x00\x00\x02{}"))
	f.Add([]byte("i\x7f\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := newChannel(duplex{bytes.NewReader(data), io.Discard})
		for {
			kind, payload, err := c.receive()
			if err != nil {
				return
			}
			if len(payload) > maxFrame || len(payload) > len(data) {
				t.Fatalf("frame %q of %d bytes", kind, len(payload))
			}
		}
	})
}

func TestInputEndsByItsFrameOnly(t *testing.T) {
	var buf bytes.Buffer
	c := newChannel(&buf)
	if err := c.send(frameInput, []byte("abc")); err != nil {
		t.Fatal(err)
	}
	whole := buf.String()
	if data, err := io.ReadAll(&inputReader{c: newChannel(duplex{strings.NewReader(whole), io.Discard})}); !errors.Is(err, io.ErrUnexpectedEOF) || string(data) != "abc" {
		t.Errorf("cut off: %q, %v", data, err)
	}
	if err := c.send(frameInputEnd, nil); err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(&inputReader{c: c}); err != nil || string(data) != "abc" {
		t.Errorf("whole: %q, %v", data, err)
	}
}

func workspace(t *testing.T) layout.Workspace {
	t.Helper()
	w := layout.Workspace{Dir: t.TempDir()}
	if err := os.WriteFile(w.RootFS(), make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestOrphanedVMMIsEnded(t *testing.T) {
	folder := workspace(t)
	l, err := lease.Acquire(folder.RootFS(), lease.Exclusive)
	if err != nil {
		t.Fatal(err)
	}
	// The taker of the lease must be dead: a shell takes it and hands it on.
	l.Close()
	flock, err := exec.LookPath("flock")
	if err != nil {
		t.Skip("flock of util-linux is not installed")
	}
	cmd := exec.Command("sh", "-c", `exec 3<>"$1"; "$0" -n 3; sleep 1000 >/dev/null 2>&1 & echo $!`, flock, folder.RootFS())
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if held, _, err := lease.Probe(folder.RootFS()); err != nil || !held {
		t.Fatalf("the orphan %s holds nothing: %v", out, err)
	}
	self, err := lease.Self()
	if err != nil {
		t.Fatal(err)
	}
	dead := driver.Run{ID: "x", Phase: driver.PhaseRunning, PID: cmd.Process.Pid, BootID: self.BootID, Start: 1}
	if err := layout.WriteJSON(folder.Run(), dead); err != nil {
		t.Fatal(err)
	}
	if run, err := ReadRun(folder); err != nil || run.Phase != driver.PhaseLost {
		t.Errorf("ReadRun: %+v, %v", run, err)
	}
	if err := Reclaim(t.Context(), folder); err != nil {
		t.Fatal(err)
	}
	l, err = lease.Acquire(folder.RootFS(), lease.Exclusive)
	if err != nil {
		t.Fatalf("after Reclaim: %v", err)
	}
	l.Close()
}

func TestReclaimLeavesTheLivingAlone(t *testing.T) {
	folder := workspace(t)
	l, err := lease.Acquire(folder.RootFS(), lease.Exclusive)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := layout.WriteJSON(folder.Run(), driver.Run{ID: "x", Phase: driver.PhaseRunning, PID: 1 << 22, BootID: "another boot"}); err != nil {
		t.Fatal(err)
	}
	if err := Reclaim(t.Context(), folder); err != nil {
		t.Fatal(err)
	}
	if held, _, err := lease.Probe(folder.RootFS()); err != nil || !held {
		t.Errorf("a lease of a living process was taken away: %v", err)
	}
}

func TestNobodyAnswers(t *testing.T) {
	if _, _, err := (Client{workspace(t)}).Status(t.Context()); !errors.Is(err, ErrGone) {
		t.Errorf("%v", err)
	}
	if _, _, err := (Client{layout.Workspace{Dir: filepath.Join(t.TempDir(), "none")}}).Status(t.Context()); !errors.Is(err, ErrGone) {
		t.Errorf("without a folder: %v", err)
	}
}

func TestAnotherVersionHearsWhatToDo(t *testing.T) {
	folder := workspace(t)
	s := &supervisor{
		folder: folder, log: quiet(), stop: make(chan struct{}), ended: make(chan struct{}),
		spec: Spec{Tool: "1.2.3", Workspace: driver.WorkspaceSpec{Name: "one"}}, run: driver.Run{ID: "r", Phase: driver.PhaseReady},
	}
	control, err := s.listen()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { control.Close(answerHurry); s.clients.Wait() }()
	ask := func(req Request) Result {
		t.Helper()
		conn, err := Client{folder}.dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		c := newChannel(conn)
		if err := c.sendJSON(frameRequest, req); err != nil {
			t.Fatal(err)
		}
		kind, payload, err := c.receive()
		if err != nil || kind != frameResult {
			t.Fatalf("%q, %v", kind, err)
		}
		return decode(t, payload)
	}
	if r := ask(Request{Version: 99, Call: CallStatus}); r.Failure != nil || r.Run == nil || r.Run.ID != "r" {
		t.Errorf("a frozen call: %+v", r)
	}
	r := ask(Request{Version: 99, Call: CallSync})
	if err := r.Failure.Error(); !errors.Is(err, driver.ErrUnsupported) || !strings.Contains(err.Error(), "microagent 1.2.3") {
		t.Errorf("another call: %v", err)
	}
	r = ask(Request{Version: Version, Call: CallSync})
	if err := r.Failure.Error(); !errors.Is(err, driver.ErrRefused) {
		t.Errorf("without a guest: %v", err)
	}
}

func TestBadImagesAreRefused(t *testing.T) {
	dir := t.TempDir()
	image := func(name string, size int, incompat uint32) string {
		data := make([]byte, size)
		if size > 2048 {
			binary.LittleEndian.PutUint16(data[super.Offset+super.MagicOffset:], super.Magic)
			binary.LittleEndian.PutUint32(data[super.Offset+super.IncompatOffset:], incompat)
			binary.LittleEndian.PutUint32(data[super.Offset+0x4:], 8)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		path     string
		readOnly bool
		class    error
	}{
		{image("good", 8192, 0), true, nil},
		{image("dirty-rw", 8192, uint32(super.NeedsRecovery)), false, nil},
		{image("dirty-ro", 8192, uint32(super.NeedsRecovery)), true, driver.ErrRefused},
		{image("odd", 8193, 0), false, driver.ErrInvalid},
		{image("cut", 7680, 0), false, driver.ErrInvalid},
		{image("short", 100, 0), false, driver.ErrInvalid},
	} {
		s := &supervisor{state: layout.State{Dir: dir}, spec: Spec{Workspace: driver.WorkspaceSpec{Name: "one"}}}
		a, err := s.attachMount(0, driver.Mount{Path: "/x", Kind: driver.MountDisk, Name: "x", Source: c.path, ReadOnly: c.readOnly})
		if !errors.Is(err, c.class) {
			t.Errorf("%s: %v", c.path, err)
		}
		if err != nil && driver.Next(err) == "" {
			t.Errorf("%s: %v does not say what to do next", c.path, err)
		}
		if a.lease != nil && err == nil {
			a.lease.Close()
		}
		if held, _, err := lease.Probe(c.path); held || err != nil {
			t.Errorf("%s: a lease is left (%v)", c.path, err)
		}
	}
}

func TestAttachIsAllOrNothing(t *testing.T) {
	state := layout.State{Dir: t.TempDir()}
	if err := state.Prepare("test"); err != nil {
		t.Fatal(err)
	}
	folder := state.Workspace("one")
	if err := os.MkdirAll(folder.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(folder.RootFS(), make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &supervisor{state: state, folder: folder, spec: Spec{Workspace: driver.WorkspaceSpec{
		Name: "one", Mounts: []driver.Mount{{Path: "/x", Kind: driver.MountDisk, Name: "x", Source: filepath.Join(state.Dir, "none")}},
	}}}
	if err := s.attach(); !errors.Is(err, driver.ErrNotFound) {
		t.Errorf("%v", err)
	}
	if held, _, err := lease.Probe(folder.RootFS()); held || err != nil {
		t.Errorf("the root file system's lease is left (%v)", err)
	}
}

func TestEnvironmentIsClean(t *testing.T) {
	t.Setenv("MICROAGENT_TEST_HOOK", "1")
	t.Setenv("AWS_SECRET", "1")
	for _, e := range environment() {
		if strings.HasPrefix(e, "MICROAGENT") || strings.HasPrefix(e, "AWS") {
			t.Error(e)
		}
	}
}

func TestASpecOfAnotherVersionIsRefused(t *testing.T) {
	var ready bytes.Buffer
	err := Run(context.Background(), Spec{Version: Version + 1}, Options{Ready: &ready})
	if !errors.Is(err, driver.ErrUnsupported) || !strings.Contains(ready.String(), `"class":"not_supported"`) {
		t.Errorf("%v, ready line %q", err, ready.String())
	}
}

// A guest that stays silent is told of with the reason that the last attempt to reach it gave.
func TestLastReason(t *testing.T) {
	silent := &driver.Error{Op: "connect to guest", Err: errors.Join(context.DeadlineExceeded, errors.New("vsock port 1024: nothing listens"))}
	if got := lastReason(silent); got != "vsock port 1024: nothing listens" {
		t.Errorf("the reason is %q", got)
	}
}
