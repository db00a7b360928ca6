package lease

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"microagent/runtime/driver"
)

// TestMain lets the test binary stand in for other processes: it takes a lease, says so, and keeps it until its
// standard input ends.
func TestMain(m *testing.M) {
	path := os.Getenv("LEASE_TEST_ACQUIRE")
	if path == "" {
		os.Exit(m.Run())
	}
	l, err := Acquire(path, Exclusive)
	if err != nil {
		if errors.Is(err, driver.ErrBusy) {
			fmt.Println("busy")
		} else {
			fmt.Println("error", err)
		}
		return
	}
	if os.Getenv("LEASE_TEST_ENDING") != "" {
		endMainThread()
	}
	fmt.Println("got")
	_, _ = io.Copy(io.Discard, os.Stdin)
	l.Close()
}

func init() {
	if os.Getenv("LEASE_TEST_ENDING") != "" {
		runtime.LockOSThread() // of main, to the main thread
	}
}

// endMainThread makes this process what one is that was killed and has a thread that can't end yet, until its standard
// input ends.
func endMainThread() {
	go func() {
		for {
			if s, err := stat(os.Getpid()); err != nil || s.ending {
				break
			}
			time.Sleep(time.Millisecond)
		}
		fmt.Println("got")
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	_, _, _ = unix.Syscall(unix.SYS_EXIT, 0, 0, 0)
}

type holder struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	said  string
}

func hold(t *testing.T, path string, env ...string) *holder {
	t.Helper()
	h := &holder{cmd: exec.Command(os.Args[0])}
	h.cmd.Env = append(os.Environ(), append(env, "LEASE_TEST_ACQUIRE="+path)...)
	in, err := h.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h.stdin = in
	h.said, _ = bufio.NewReader(out).ReadString('\n')
	h.said = strings.TrimSpace(h.said)
	return h
}

func (h *holder) release() {
	h.stdin.Close()
	_ = h.cmd.Wait()
}

func image(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data.ext4")
	if err := os.WriteFile(path, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAcquireModes(t *testing.T) {
	for _, c := range []struct {
		first, second Mode
		busy          bool
	}{
		{Exclusive, Exclusive, true},
		{Exclusive, Shared, true},
		{Shared, Exclusive, true},
		{Shared, Shared, false},
	} {
		path := image(t)
		a, err := Acquire(path, c.first)
		if err != nil {
			t.Fatal(err)
		}
		b, err := Acquire(path, c.second)
		if busy := errors.Is(err, driver.ErrBusy); busy != c.busy {
			t.Errorf("%v then %v: busy is %v (%v)", c.first, c.second, busy, err)
		}
		if b != nil {
			b.Close()
		}
		a.Close()
		again, err := Acquire(path, c.second)
		if err != nil {
			t.Errorf("%v after release: %v", c.second, err)
			continue
		}
		again.Close()
	}
}

func TestBusyNamesTheHolder(t *testing.T) {
	path := image(t)
	h := hold(t, path)
	defer h.release()
	if h.said != "got" {
		t.Fatalf("the other process said %q", h.said)
	}
	_, err := Acquire(path, Exclusive)
	busy, ok := errors.AsType[*BusyError](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	if want := fmt.Sprintf("(pid %d)", h.cmd.Process.Pid); !strings.Contains(busy.Error(), want) {
		t.Errorf("%q does not name %s", busy.Error(), want)
	}
	held, pids, err := Probe(path)
	if err != nil || !held || len(pids) != 1 || pids[0] != h.cmd.Process.Pid {
		t.Errorf("Probe: %v %v %v", held, pids, err)
	}
}

func TestLeaseLivesInTheInheritor(t *testing.T) {
	path := image(t)
	l, err := Acquire(path, Exclusive)
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command("cat")
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	child.ExtraFiles = []*os.File{l.File()}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := Acquire(path, Shared); !errors.Is(err, driver.ErrBusy) {
		t.Errorf("with the child alive: %v", err)
	}
	if held, _, err := Probe(path); err != nil || !held {
		t.Errorf("Probe with the child alive: %v %v", held, err)
	}
	in.Close()
	_ = child.Wait()
	again, err := Acquire(path, Exclusive)
	if err != nil {
		t.Fatalf("after the child's end: %v", err)
	}
	again.Close()
}

func TestFiftyProcessesOneWinner(t *testing.T) {
	path := image(t)
	const n = 50
	all := make([]*holder, n)
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() { all[i] = hold(t, path) })
	}
	wg.Wait()
	won, busy := 0, 0
	for _, h := range all {
		switch h.said {
		case "got":
			won++
		case "busy":
			busy++
		default:
			t.Errorf("a process said %q", h.said)
		}
	}
	if won != 1 || busy != n-1 {
		t.Errorf("%d won and %d were told busy, of %d", won, busy, n)
	}
	for _, h := range all {
		h.release()
	}
}

func TestProbesNeverMakeAcquireFail(t *testing.T) {
	path := image(t)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, _, err := Probe(path); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 200 {
		l, err := Acquire(path, Exclusive)
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
	close(stop)
	wg.Wait()
}

func TestAcquireFollowsTheName(t *testing.T) {
	path := image(t)
	old, err := Acquire(path, Exclusive)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := Acquire(path, Exclusive); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed: %v", err)
	}
	if held, _, err := Probe(path); held || err != nil {
		t.Errorf("Probe of a removed image: %v %v", held, err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	fresh, err := Acquire(path, Exclusive)
	if err != nil {
		t.Fatalf("a new file under the name: %v", err)
	}
	fresh.Close()
}

func TestAcquireRefusesWhatIsNoFile(t *testing.T) {
	if _, err := Acquire(t.TempDir(), Shared); !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("directory: %v", err)
	}
	if _, err := Acquire("/dev/null", Shared); !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("device: %v", err)
	}
}

func TestNetworkFileSystemsAreNamed(t *testing.T) {
	for magic, want := range map[uint32]string{0x6969: "NFS", 0xff534d42: "CIFS", 0xfe534d42: "CIFS", 0xef53: "", 0x01021994: ""} {
		if got := networkName(magic); got != want {
			t.Errorf("%#x is %q, want %q", magic, got, want)
		}
	}
}

// TestAcquireOutlastsAHolderThatEnds: a process that was killed has its files until its last thread has ended.
func TestAcquireOutlastsAHolderThatEnds(t *testing.T) {
	path := image(t)
	h := hold(t, path, "LEASE_TEST_ENDING=1")
	if h.said != "got" {
		t.Fatalf("the other process said %q", h.said)
	}
	p, err := Find(h.cmd.Process.Pid)
	if err != nil || p.Alive() {
		t.Errorf("a process whose main thread has ended is alive: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := p.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("wait for a process that is ending: %v", err)
	}
	got := make(chan error, 1)
	go func() {
		l, err := Acquire(path, Exclusive)
		if err == nil {
			err = l.Close()
		}
		got <- err
	}()
	select {
	case err := <-got:
		h.release()
		t.Fatalf("while its holder is ending: %v", err)
	case <-time.After(3 * patience): // then it waits for more than a probe
	}
	h.release()
	if err := <-got; err != nil {
		t.Error(err)
	}
}
