package workspace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"microagent/runtime/driver"
	"microagent/runtime/drivertest"
	"microagent/runtime/kernel"
	"microagent/runtime/layout"
	"microagent/runtime/machine"
	"microagent/runtime/network/gateway"
	"microagent/runtime/qemu"
	"microagent/runtime/supervise"
	"microagent/runtime/volume"
	"microagent/testscripts/lane"
)

const mib = int64(1) << 20

// TestMain lets the test binary be the supervisor and the adapter, as the program itself is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "supervise":
			os.Exit(supervise.Main(context.Background(), os.Stdin, os.Stderr, Abandoned))
		case "vmm":
			os.Exit(qemu.Main(context.Background(), os.Args[2:], os.Stderr))
		case "gateway":
			os.Exit(gateway.Main(gateway.Outside{}, os.Stderr))
		}
	}
	code := m.Run()
	if scratch != "" {
		os.RemoveAll(scratch)
	}
	os.Exit(code)
}

// scratch holds what all tests share: the guest binary, a kernel and the images.
var scratch string

var prepare = sync.OnceValues(func() (skip string, err error) {
	if runtime.GOARCH != "amd64" {
		return "the adapter knows QEMU's machine for amd64 only", nil
	}
	for _, tool := range []string{"qemu-system-x86_64", "mke2fs", "busybox"} {
		if _, err := exec.LookPath(tool); err != nil {
			return tool + " is not installed", nil
		}
	}
	if scratch, err = os.MkdirTemp("", "workspace-test-"); err != nil {
		return "", err
	}
	build := exec.Command("go", "run", "../guest/payload/build", "-o", scratch)
	build.Dir = "."
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the guest binary: %w\n%s", err, out)
	}
	for i, name := range []string{imageOne, imageTwo} {
		if err := makeImage(filepath.Join(scratch, name), fmt.Sprintf("image %d\n", i+1)); err != nil {
			return "", err
		}
	}
	store := kernels()
	if deb := os.Getenv("MICROAGENT_TEST_KERNEL_DEB"); deb != "" {
		_, err = store.ImportDeb(context.Background(), []string{deb}, nil)
		return "", err
	}
	if _, err := store.ImportApt(context.Background(), nil); err != nil {
		return fmt.Sprintf("no kernel to boot: MICROAGENT_TEST_KERNEL_DEB is not set, and apt: %v", err), nil
	}
	return "", nil
})

func kernels() *kernel.Store {
	return kernel.New(layout.State{Dir: filepath.Join(scratch, "kernels")}, runtime.GOARCH, func(arch string) ([]byte, error) {
		return os.ReadFile(filepath.Join(scratch, "microagent-guest-"+arch+".zst"))
	})
}

// The images of the tests, by content key.
const (
	imageOne = "rootfs-v1-one"
	imageTwo = "rootfs-v1-two"
)

// makeImage makes a root file system of busybox by e2fsprogs, with files of this host where they lie on it.
func makeImage(path, release string, files ...string) error {
	tree := path + ".tree"
	for _, d := range []string{"bin", "etc", "proc", "sys", "dev", "tmp", "root"} {
		if err := os.MkdirAll(filepath.Join(tree, d), 0o755); err != nil {
			return err
		}
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return err
	}
	if err := place(busybox, filepath.Join(tree, "bin/busybox")); err != nil {
		return err
	}
	for _, f := range files {
		if err := place(f, filepath.Join(tree, f)); err != nil {
			return err
		}
	}
	for _, name := range strings.Fields("sh cat date dmesg echo sleep true false kill sync reboot dd yes head od stty printf wc df trap") {
		if err := os.Symlink("busybox", filepath.Join(tree, "bin", name)); err != nil {
			return err
		}
	}
	for name, text := range map[string]string{"etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "etc/group": "root:x:0:\n", "etc/release": release,
		"etc/machine-id": "0123456789abcdef0123456789abcdef\n"} {
		if err := os.WriteFile(filepath.Join(tree, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	out, err := exec.Command("mke2fs", "-q", "-t", "ext4", "-E", "root_owner=0:0,lazy_itable_init=1", "-d", tree, path, "32M").CombinedOutput()
	if err != nil {
		return fmt.Errorf("mke2fs: %w\n%s", err, out)
	}
	return nil
}

func place(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}

// placer copies images of the tests.
type placer struct{}

func (placer) Place(_ context.Context, key, path string) error {
	from, err := os.Open(filepath.Join(scratch, key))
	if err != nil {
		return &driver.Error{Class: driver.ErrNotFound, Op: "place disk", Object: key, Err: err}
	}
	defer from.Close()
	d, err := layout.NewDraft(path, 0o600)
	if err != nil {
		return err
	}
	defer d.Close()
	if _, err := io.Copy(d, from); err != nil {
		return err
	}
	return d.Publish()
}

// Empty makes empty file systems for volumes by e2fsprogs.
func (placer) Empty(ctx context.Context, spec driver.EmptySpec, path string) error {
	d, err := layout.NewDraft(path, 0o600)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Truncate(spec.Size); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "mke2fs", "-q", "-F", "-t", "ext4", "/proc/self/fd/3")
	cmd.ExtraFiles = []*os.File{d.File}
	if out, err := cmd.CombinedOutput(); err != nil {
		return errors.New(string(out))
	}
	return d.Publish()
}

// open gives an empty store in dir whose workspaces are stopped at the end of the test.
func open(t testing.TB, dir string) *Store {
	t.Helper()
	lane.Guest(t)
	skip, err := prepare()
	if err != nil {
		t.Fatal(err)
	}
	if skip != "" {
		t.Skip(skip)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &Store{
		State: layout.State{Dir: dir}, Disks: placer{}, Kernels: kernels(), VMM: machine.Config{VMM: os.Getenv("MICROAGENT_TEST_VMM"), CloudHypervisor: os.Getenv(machine.EnvCloudHypervisor)},
		Tool: "test", Supervisor: []string{self, "supervise"}, Adapter: []string{self, "vmm"}, Gateway: []string{self, "gateway"},
	}
	if err := s.State.Prepare("test"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		list, err := s.List(context.Background())
		if err != nil {
			t.Error(err)
		}
		for _, w := range list {
			if t.Failed() {
				t.Log(report(w))
			}
			if _, err := s.Stop(context.Background(), w.Spec.Name, driver.StopOptions{Force: true}); err != nil {
				t.Error(err)
			}
		}
	})
	return s
}

// report is what a failed test shows of a workspace.
func report(w driver.Workspace) string {
	var b strings.Builder
	for _, name := range []string{layout.RunFile, layout.SupervisorLog, layout.VMMLog, layout.ConsoleLog} {
		data, _ := os.ReadFile(filepath.Join(w.Folder, name))
		fmt.Fprintf(&b, "%s of %s:\n%s\n", name, w.Spec.Name, data)
	}
	return b.String()
}

func spec(name string, p driver.Process) driver.WorkspaceSpec {
	return driver.WorkspaceSpec{
		Name: name, Image: "busybox", ImageDigest: "sha256:one", RootFS: imageOne, DiskSize: 64 * mib,
		CPUs: 1, Memory: 256 * mib, Process: p, Isolation: "any",
	}
}

var idle = driver.Process{Mode: driver.ModeIdle}

func create(t *testing.T, s *Store, spec driver.WorkspaceSpec) {
	t.Helper()
	if _, err := s.Create(t.Context(), spec, nil); err != nil {
		t.Fatal(err)
	}
}

func start(t *testing.T, s *Store, name string) driver.Run {
	t.Helper()
	run, err := s.Start(t.Context(), name, driver.StartOptions{RunKey: "v1:test"})
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func sh(t *testing.T, s *Store, name, script string) string {
	t.Helper()
	var out, errs strings.Builder
	code, err := s.Exec(t.Context(), name, driver.ExecSpec{Argv: []string{"sh", "-c", script}}, driver.Streams{Stdout: &out, Stderr: &errs})
	if err != nil || code != 0 {
		t.Fatalf("%s: code %d, %v\n%s", script, code, err, errs.String())
	}
	return out.String()
}

func volumes(s *Store) *volume.Store {
	return &volume.Store{State: s.State, Disks: placer{}, Tool: "test", GrowLive: s.GrowVolume}
}

func TestWorkspaces(t *testing.T) {
	drivertest.Workspaces(t, func(t *testing.T) drivertest.WorkspacesUnder {
		return drivertest.WorkspacesUnder{
			Workspaces: open(t, t.TempDir()),
			Spec:       func(_ *testing.T, name string) driver.WorkspaceSpec { return spec(name, idle) },
			Other: func(_ *testing.T, name string) driver.WorkspaceSpec {
				other := spec(name, idle)
				other.ImageDigest, other.RootFS = "sha256:two", imageTwo
				return other
			},
		}
	})
}
