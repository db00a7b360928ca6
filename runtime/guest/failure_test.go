package guest_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
)

func TestGuestWithoutChannelSaysSoAndPowersOff(t *testing.T) {
	v := start(t, noChannel)
	select {
	case <-v.exited:
	case <-time.After(2 * time.Minute):
		t.Fatal("the guest stays on")
	}
	log, err := os.ReadFile(v.console)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(log), "microagent-init: fatal: no channel to the host") {
		t.Errorf("console %q", log)
	}
	if strings.Contains(string(log), "panic") {
		t.Errorf("the kernel panicked: %q", log)
	}
}

func TestConfigureNamesTheBadDisk(t *testing.T) {
	garbage := t.TempDir() + "/garbage"
	if err := os.WriteFile(garbage, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	made := func(args ...string) string {
		t.Helper()
		image := t.TempDir() + "/disk"
		if out, err := exec.Command("mke2fs", append([]string{"-q", "-F"}, append(args, image, "32m")...)...).CombinedOutput(); err != nil {
			t.Fatalf("mke2fs %q: %v\n%s", args, err, out)
		}
		return image
	}
	v := start(t, vmDisk{serial: "root", path: disk(t, rootTree(t), "64m")}, vmDisk{serial: "m00", path: garbage},
		vmDisk{serial: "m01", path: disk(t, "", "8m")}, vmDisk{serial: "m02", path: made("-t", "ext4", "-b", "65536", "-O", "^has_journal")},
		vmDisk{serial: "m03", path: made("-b", "4096", "-O", "journal_dev")}, vmDisk{serial: "m04", path: made("-t", "ext4", "-O", "quota,project")})
	s := v.connect()
	root := proto.Mount{Serial: "root", Path: "/"}
	for _, c := range []struct {
		config proto.Config
		class  error
		says   string
	}{
		{proto.Config{Root: proto.Mount{Serial: "boot", Path: "/"}}, driver.ErrNotFound, "disk boot for /: no disk has this serial (there are: "},
		{proto.Config{Root: root, Mounts: []proto.Mount{{Serial: "m00", Path: "/work"}}}, driver.ErrInvalid, "disk m00 for /work: it holds no ext4 file system"},
		{proto.Config{Root: root, Mounts: []proto.Mount{{Serial: "m01", Path: "/bin/sh"}}}, driver.ErrGuest, "disk m01: make mount point"},
		// The kernel's own reason comes with what mount says.
		{proto.Config{Root: root, Mounts: []proto.Mount{{Serial: "m02", Path: "/work"}}}, driver.ErrGuest, "disk m02 for /work: mount: bad block size 65536 (invalid argument)"},
		{proto.Config{Root: root, Mounts: []proto.Mount{{Serial: "m03", Path: "/work"}}}, driver.ErrGuest, "disk m03 for /work: mount: "},
	} {
		err := s.Configure(t.Context(), c.config)
		if !errors.Is(err, c.class) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("got %v; want %q", err, c.says)
		}
	}
	// What failed can be put right in the same boot. A stop signal that Linux has not is no failure.
	if err := s.Configure(t.Context(), proto.Config{Root: root, StopSignal: "SIGNOPE", Mounts: []proto.Mount{{Serial: "m01", Path: "/work"}, {Serial: "m04", Path: "/quota"}}}); err != nil {
		t.Fatal(err)
	}
	if exit, out, _ := output(t, s, sh("ls -A /work; pwd"), nil); exit.Code != 0 || !strings.HasSuffix(out, "/\n") {
		t.Errorf("%+v %q", exit, out)
	}
	p, err := s.Start(t.Context(), sh("trap '' TERM; echo up; while :; do sleep 1; done"), proto.Streams{Stdout: &lines{}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	_, err = s.Start(t.Context(), proto.ExecSpec{ID: p.ID(), Command: proto.Command{Argv: []string{"true"}}}, proto.Streams{})
	if !errors.Is(err, driver.ErrExists) {
		t.Errorf("two processes of one id: %v", err)
	}
	if stopped, err := s.Shutdown(t.Context(), 100*time.Millisecond); err != nil || len(stopped.Unclean) > 0 {
		t.Errorf("shutdown over a process that ignores it: %+v, %v", stopped, err)
	}
	select {
	case <-v.exited:
	case <-time.After(time.Minute):
		t.Error("the guest did not power off")
	}
}

// BenchmarkSpawnToReady is the time from spawning QEMU to the agent's hello, and QEMU's CPU time by then, of the
// last of the boots.
func BenchmarkSpawnToReady(b *testing.B) {
	image := disk(b, rootTree(b), "64m")
	for range b.N {
		v := start(b, vmDisk{serial: "root", path: image})
		v.connect()
		b.ReportMetric(float64(time.Since(v.spawned).Milliseconds()), "ms/ready")
		b.ReportMetric(float64(v.cpu().Milliseconds()), "cpu-ms/ready")
		v.kill()
	}
}

// cpu is what QEMU has used so far: fields 14 and 15 of proc_pid_stat(5), in ticks of 10 ms.
func (v *vm) cpu() time.Duration {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", v.cmd.Process.Pid))
	if err != nil {
		v.t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(data), ") ")
	fields := strings.Fields(after)
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	if err := errors.Join(err1, err2); err != nil {
		v.t.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}
