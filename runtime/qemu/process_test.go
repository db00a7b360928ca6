package qemu

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"microagent/ch"
	"microagent/ch/chtest"
)

// adapter starts the test binary as the adapter in a fresh directory, with lease as an inherited descriptor.
func adapter(t *testing.T, lease *os.File, args ...string) (*exec.Cmd, *ch.Client, string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "q")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	c := exec.Command(self, append([]string{"--api-socket", "./api.sock"}, args...)...)
	c.Dir = dir
	c.Env = append(os.Environ(), "MICROAGENT_TEST_ADAPTER=1")
	c.Stderr = os.Stderr
	if lease != nil {
		c.ExtraFiles = []*os.File{lease}
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	folder, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { folder.Close() })
	client := ch.New(ch.UnixAt(folder, "api.sock"), ch.Timeouts{})
	t.Cleanup(client.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := client.WaitForAPI(ctx, nil); err != nil {
		t.Fatal(err)
	}
	return c, client, dir
}

// childOf gives the pid of the one child of a process.
func childOf(t *testing.T, pid int) int {
	t.Helper()
	files, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/children")
	var list []string
	for _, f := range files {
		text, _ := os.ReadFile(f)
		list = append(list, strings.Fields(string(text))...)
	}
	if len(list) != 1 {
		t.Fatalf("children of %d: %v", pid, list)
	}
	child, err := strconv.Atoi(list[0])
	if err != nil {
		t.Fatal(err)
	}
	return child
}

// TestKilledAdapterTakesQEMUAlong kills the adapter. QEMU goes too, and what it holds, the lock of its disk and
// the lease, is free no sooner than it is gone.
func TestKilledAdapterTakesQEMUAlong(t *testing.T) {
	if _, err := Find(t.Context()); err != nil {
		t.Skip(err)
	}
	guest := chtest.PrepareGuest(t, t.TempDir())
	image := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(image, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	lease, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(lease.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	process, client, _ := adapter(t, lease, "--opened", "fd=3,path="+image)
	if err := lease.Close(); err != nil { // ours; the adapter's and QEMU's stay
		t.Fatal(err)
	}
	config := ch.VmConfig{
		Payload: &ch.PayloadConfig{Kernel: &guest.Kernel, Initramfs: &guest.Initramfs},
		Console: &ch.ConsoleConfig{Mode: ch.ConsoleOff},
		Disks:   []ch.DiskConfig{{Path: &image, ImageType: new(ch.ImageRaw)}},
	}
	if err := errors.Join(client.Create(t.Context(), config), client.Boot(t.Context())); err != nil {
		t.Fatal(err)
	}
	child := childOf(t, process.Process.Pid)
	if group, err := unix.Getpgid(child); err != nil || group != child {
		t.Errorf("QEMU's process group is %d (%v), its pid %d", group, err, child)
	}
	pidfd, err := unix.PidfdOpen(child, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	ours, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	held := func() bool {
		flock := unix.Flock(int(ours.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		ofd := ofdLock(ours, unix.F_WRLCK)
		if (flock == nil) != (ofd == nil) {
			t.Logf("flock: %v, OFD lock: %v", flock, ofd)
		}
		return flock != nil && ofd != nil
	}
	if !held() {
		t.Fatal("the disk is not held while QEMU runs")
	}
	if links, _ := filepath.Glob("/proc/" + strconv.Itoa(child) + "/fd/*"); !holds(links, image) {
		t.Errorf("QEMU has not the disk open: %v", links)
	}
	if err := process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	poll := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(poll, 60_000)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			t.Fatalf("QEMU outlives the adapter: %v", err)
		}
		break
	}
	if err := process.Wait(); err == nil {
		t.Error("the adapter ended well")
	}
	if err := errors.Join(unix.Flock(int(ours.Fd()), unix.LOCK_EX|unix.LOCK_NB), ofdLock(ours, unix.F_WRLCK)); err != nil {
		t.Errorf("the disk is still held: %v", err)
	}
}

func holds(links []string, path string) bool {
	return slices.ContainsFunc(links, func(l string) bool {
		target, err := os.Readlink(l)
		return err == nil && target == path
	})
}

// TestQEMUThatDoesNotStart has QEMU's own words at the end of the chain.
func TestQEMUThatDoesNotStart(t *testing.T) {
	if _, err := Find(t.Context()); err != nil {
		t.Skip(err)
	}
	_, client, dir := adapter(t, nil, "--accel", "tcg")
	kernel := filepath.Join(dir, "kernel")
	if err := os.WriteFile(kernel, []byte("not a kernel"), 0o600); err != nil {
		t.Fatal(err)
	}
	config := ch.VmConfig{Payload: &ch.PayloadConfig{Kernel: &kernel}, Console: &ch.ConsoleConfig{Mode: ch.ConsoleOff}}
	if err := client.Create(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	err := client.Boot(t.Context())
	failure, ok := errors.AsType[*ch.Error](err)
	if !ok || len(failure.Chain) < 4 || failure.Chain[2] != "Cannot start QEMU" || !strings.Contains(failure.Chain[3], "kernel") {
		t.Fatalf("got %#v", err)
	}
	if s, err := client.State(t.Context()); err != nil || s != ch.Created {
		t.Errorf("state %v, %v", s, err)
	}
}

// TestQEMUThatDies ends the process as a crash of the real program does.
func TestQEMUThatDies(t *testing.T) {
	if _, err := Find(t.Context()); err != nil {
		t.Skip(err)
	}
	guest := chtest.PrepareGuest(t, t.TempDir())
	process, client, dir := adapter(t, nil, "--no-shutdown", "--event-monitor", "path=./events")
	config := ch.VmConfig{Payload: &ch.PayloadConfig{Kernel: &guest.Kernel}, Console: &ch.ConsoleConfig{Mode: ch.ConsoleOff}}
	if err := errors.Join(client.Create(t.Context(), config), client.Boot(t.Context())); err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(childOf(t, process.Process.Pid), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	err := process.Wait()
	if process.ProcessState.ExitCode() != 1 {
		t.Errorf("the adapter ended with %v", err)
	}
	events, err := os.Open(filepath.Join(dir, "events"))
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	for d := ch.NewEventDecoder(events); ; {
		e, err := d.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e.Is("vm", "shutdown") {
			t.Error("a guest that was killed is told of as one that was shut down")
		}
	}
}

func TestBadArguments(t *testing.T) {
	for _, args := range [][]string{{}, {"--api-socket", "fd=x"}, {"--api-socket", "a", "b"}, {"--api-socket", "a", "--accel", "fast"}, {"--nonsense"}} {
		var out bytes.Buffer
		if code := Main(t.Context(), args, &out); code != exitUsage || out.Len() == 0 {
			t.Errorf("%q: %d %q", args, code, out.String())
		}
	}
}
