// Package guest_test boots the guest under a real QEMU and talks to it through package proto, without the adapter:
// what is tested is the guest.
package guest_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"microagent/runtime/guest/proto"
	"microagent/runtime/guest/proto/serialmux"
	"microagent/runtime/kernel"
	"microagent/runtime/layout"
	"microagent/runtime/network/gateway"
	"microagent/runtime/qemu"
	"microagent/testscripts/lane"
)

// KernelDeb names the environment variable with a Debian kernel package; without it apt is asked for one.
const KernelDeb = "MICROAGENT_TEST_KERNEL_DEB"

var (
	store     *kernel.Store
	storeSkip string
	storeErr  error
	storeOnce sync.Once
	scratch   string
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == asGateway {
		os.Exit(gateway.Main(loopbackOutside, os.Stderr))
	}
	var err error
	if scratch, err = os.MkdirTemp("", "guest-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(scratch)
	os.Exit(code)
}

// kernels is a store with one kernel and this tree's guest binary; the test is skipped where there can be none.
func kernels(t testing.TB) *kernel.Store {
	t.Helper()
	lane.Guest(t)
	storeOnce.Do(func() { storeSkip, storeErr = prepare() })
	if storeErr != nil {
		t.Fatal(storeErr)
	}
	if storeSkip != "" {
		t.Skip(storeSkip)
	}
	return store
}

func prepare() (skip string, err error) {
	if runtime.GOARCH != "amd64" {
		return "the boot test knows QEMU's machine for amd64 only", nil
	}
	for _, tool := range []string{"qemu-system-x86_64", "mke2fs", "busybox"} {
		if _, err := exec.LookPath(tool); err != nil {
			return tool + " is not installed", nil
		}
	}
	build := exec.Command("go", "run", "./payload/build", "-o", scratch)
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the guest binary: %w\n%s", err, out)
	}
	store = kernel.New(layout.State{Dir: filepath.Join(scratch, "state")}, runtime.GOARCH, func(arch string) ([]byte, error) {
		return os.ReadFile(filepath.Join(scratch, "microagent-guest-"+arch+".zst"))
	})
	ctx := context.Background()
	if deb := os.Getenv(KernelDeb); deb != "" {
		_, err = store.ImportDeb(ctx, []string{deb}, nil)
		return "", err
	}
	if _, err := store.ImportApt(ctx, nil); err != nil {
		return fmt.Sprintf("no kernel to boot: %s is not set, and apt: %v", KernelDeb, err), nil
	}
	return "", nil
}

// disk makes an ext4 image out of a tree.
func disk(t testing.TB, tree string, size string) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "disk.ext4")
	args := []string{"-q", "-t", "ext4", "-b", "4096", "-E", "root_owner=0:0,lazy_itable_init=1"}
	if tree != "" {
		args = append(args, "-d", tree)
	}
	if out, err := exec.Command("mke2fs", append(args, image, size)...).CombinedOutput(); err != nil {
		t.Fatalf("mke2fs: %v\n%s", err, out)
	}
	return image
}

// rootTree is a small system of busybox alone.
func rootTree(t testing.TB) string {
	t.Helper()
	tree := t.TempDir()
	for _, d := range []string{"bin", "etc", "root", "run/service"} {
		if err := os.MkdirAll(filepath.Join(tree, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tree, "bin/busybox"), data, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields("sh cat echo ls id env sleep true false kill stty mount df wc head dd test date hostname ps pwd rm mkdir readlink stat yes tr tail grep") {
		if err := os.Symlink("busybox", filepath.Join(tree, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\nworker:x:1000:1001:Worker:/home/worker:/bin/sh\n",
		"etc/group":  "root:x:0:\nworker:x:1001:\nmedia:x:44:other,worker\n",
	} {
		if err := os.WriteFile(filepath.Join(tree, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return tree
}

// vm is a QEMU that runs the guest.
type vm struct {
	t       testing.TB
	cmd     *exec.Cmd
	port    net.Conn // our end of the serial port
	console string
	exited  chan struct{}
	session *serialmux.HostSession
	spawned time.Time
}

// noChannel in the place of a disk leaves the serial port away.
var noChannel = vmDisk{serial: "-"}

type vmDisk struct {
	serial, path string
	readOnly     bool
}

// start boots a guest; it ends with the test at the latest.
func start(t testing.TB, disks ...vmDisk) *vm {
	t.Helper()
	return startWith(t, nil, disks...)
}

// startWith is start with more arguments for QEMU.
func startWith(t testing.TB, more []string, disks ...vmDisk) *vm {
	t.Helper()
	boot, err := kernels(t).Boot("", kernel.Adapter, 1)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "port")
	ours := os.NewFile(uintptr(pair[0]), "port")
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		t.Fatal(err)
	}
	v := &vm{t: t, port: conn, console: filepath.Join(t.TempDir(), "console"), exited: make(chan struct{})}
	cpu, cmdline := qemu.Emulated(boot.Cmdline, 1)
	args := []string{
		"-no-user-config", "-nodefaults", "-display", "none", "-M", "q35", "-accel", "tcg,tb-size=256", "-cpu", cpu, "-m", "256", "-smp", "1",
		"-bios", "qboot.rom", "-kernel", boot.Kernel, "-initrd", boot.Initramfs, "-append", cmdline,
		"-serial", "file:" + v.console, "-device", "pvpanic-pci", "-action", "panic=none",
	}
	if !slices.Contains(disks, noChannel) {
		args = append(args, "-device", "virtio-serial-pci,id=vs0", "-chardev", "socket,id=ch0,fd=3",
			"-device", "virtserialport,id=port0,chardev=ch0,name=agent,bus=vs0.0")
	}
	for i, d := range disks {
		if d == noChannel {
			continue
		}
		ro := ""
		if d.readOnly {
			ro = ",read-only=on"
		}
		args = append(args, "-blockdev", fmt.Sprintf("driver=raw,node-name=n%d%s,file.driver=file,file.filename=%s", i, ro, d.path),
			"-device", fmt.Sprintf("virtio-blk-pci,drive=n%d,serial=%s", i, d.serial))
	}
	v.cmd = exec.Command("qemu-system-x86_64", append(args, more...)...)
	v.cmd.ExtraFiles = []*os.File{theirs}
	var stderr bytes.Buffer
	v.cmd.Stderr = &stderr
	v.spawned = time.Now()
	if err := v.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	go func() { _ = v.cmd.Wait(); close(v.exited) }()
	t.Cleanup(func() {
		v.kill()
		if t.Failed() {
			log, _ := os.ReadFile(v.console)
			t.Logf("qemu: %s\nconsole:\n%s", stderr.String(), log)
		}
	})
	return v
}

// kill ends QEMU without asking the guest.
func (v *vm) kill() {
	_ = v.cmd.Process.Kill()
	<-v.exited
	v.port.Close()
}

// connect waits for the agent.
func (v *vm) connect() *proto.Session {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), 2*time.Minute)
	defer cancel()
	mux, err := serialmux.Host(ctx, v.port)
	if err != nil {
		v.t.Fatal(err)
	}
	v.session = mux
	v.t.Cleanup(func() { mux.Close() })
	s, err := proto.Connect(ctx, func(ctx context.Context, port uint32) (net.Conn, error) {
		c, err := mux.Dial(ctx, port)
		if err != nil {
			return nil, err
		}
		return c, nil
	})
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(func() { s.Close() })
	return s
}

// output runs a command and gives its exit and its output.
func output(t *testing.T, s *proto.Session, spec proto.ExecSpec, stdin io.Reader) (proto.Exit, string, string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	p, err := s.Start(t.Context(), spec, proto.Streams{Stdin: stdin, Stdout: &stdout, Stderr: &stderr})
	if err != nil {
		t.Fatal(err)
	}
	exit, err := p.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return exit, stdout.String(), stderr.String()
}

func sh(script string) proto.ExecSpec {
	return proto.ExecSpec{Command: proto.Command{Argv: []string{"sh", "-c", script}}}
}

func TestTaskOnRealGuest(t *testing.T) {
	v := start(t, vmDisk{serial: "root", path: disk(t, rootTree(t), "64m")})
	s := v.connect()
	t.Logf("spawn to hello: %v; %+v", time.Since(v.spawned), s.Hello())
	err := s.Configure(t.Context(), proto.Config{
		Root: proto.Mount{Serial: "root", Path: "/", Grow: true}, Hostname: "box",
		Argv: []string{"sh", "-c", "echo out; echo err >&2; cat > /root/in; exit 3"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("spawn to configured: %v", time.Since(v.spawned))
	exit, stdout, stderr := output(t, s, proto.ExecSpec{Main: true}, strings.NewReader("input"))
	if exit.Code != 3 || stdout != "out\n" || stderr != "err\n" {
		t.Errorf("task: %+v %q %q", exit, stdout, stderr)
	}
	t.Logf("spawn to task's end: %v", time.Since(v.spawned))
	if _, out, _ := output(t, s, sh("cat /root/in; hostname"), nil); out != "inputbox\n" {
		t.Errorf("what the task left: %q", out)
	}
	if _, err := s.Shutdown(t.Context(), time.Second); err != nil {
		t.Fatal(err)
	}
	select {
	case <-v.exited:
	case <-time.After(30 * time.Second):
		t.Fatal("the guest did not power off")
	}
}
