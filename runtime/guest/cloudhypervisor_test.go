package guest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"microagent/runtime/guest/proto"
	"microagent/runtime/kernel"
)

// cloudHypervisor finds the binary, on PATH or named by MICROAGENT_CLOUD_HYPERVISOR, where KVM can work.
func cloudHypervisor(t *testing.T) string {
	t.Helper()
	binary := os.Getenv("MICROAGENT_CLOUD_HYPERVISOR")
	if binary == "" {
		var err error
		if binary, err = exec.LookPath("cloud-hypervisor"); err != nil {
			t.Skip("cloud-hypervisor is not installed")
		}
	}
	kvm, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no KVM: ", err)
	}
	kvm.Close()
	cpu, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOARCH == "amd64" && !strings.Contains(string(cpu), " svm") && !strings.Contains(string(cpu), " vmx") {
		t.Skip("no KVM: the CPU has neither svm nor vmx")
	}
	return binary
}

// hybrid dials a port over cloud-hypervisor's vsock socket.
func hybrid(socket string) proto.Dialer {
	return func(ctx context.Context, port uint32) (net.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", socket)
		if err != nil {
			return nil, err
		}
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		defer stop()
		fmt.Fprintf(conn, "CONNECT %d\n", port)
		line, err := bufio.NewReaderSize(oneByteAtATime{conn}, 16).ReadString('\n')
		if err != nil || !strings.HasPrefix(line, "OK ") {
			conn.Close()
			return nil, errors.Join(fmt.Errorf("answer %q", line), err)
		}
		return conn, nil
	}
}

// oneByteAtATime keeps a buffered reader from reading ahead.
type oneByteAtATime struct{ net.Conn }

func (o oneByteAtATime) Read(p []byte) (int, error) { return o.Conn.Read(p[:1]) }

func TestTaskUnderCloudHypervisor(t *testing.T) {
	binary := cloudHypervisor(t)
	boot, err := kernels(t).Boot("", kernel.CloudHypervisor, 1)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	console, socket := filepath.Join(dir, "console"), filepath.Join(dir, "vsock")
	cmd := exec.Command(binary, "--kernel", boot.Kernel, "--initramfs", boot.Initramfs, "--cmdline", boot.Cmdline,
		"--cpus", "boot=1", "--memory", "size=256M", "--console", "off", "--serial", "file="+console,
		"--vsock", "cid=3,socket="+socket, "--disk", "image_type=raw,serial=root,path="+disk(t, rootTree(t), "64m"))
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	spawned := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		if t.Failed() {
			log, _ := os.ReadFile(console)
			t.Logf("cloud-hypervisor: %s\nconsole:\n%s", said.String(), log)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	s, err := proto.Connect(ctx, hybrid(socket))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	t.Logf("spawn to hello: %v", time.Since(spawned))
	if err := s.Configure(ctx, proto.Config{Root: proto.Mount{Serial: "root", Path: "/", Grow: true}}); err != nil {
		t.Fatal(err)
	}
	exit, out, stderr := output(t, s, sh("cat; echo err >&2; exit 3"), strings.NewReader("input"))
	if exit.Code != 3 || out != "input" || stderr != "err\n" {
		t.Errorf("task: %+v %q %q", exit, out, stderr)
	}
	if got := fetch(t, s, "/etc/group", 0); !strings.Contains(got, "worker") {
		t.Errorf("fetched %q", got)
	}
	if stopped, err := s.Shutdown(ctx, time.Second); err != nil || len(stopped.Unclean) > 0 {
		t.Fatalf("shutdown: %+v, %v", stopped, err)
	}
	select {
	case err := <-exited:
		if err != nil {
			t.Errorf("cloud-hypervisor: %v", err)
		}
	case <-time.After(60 * time.Second):
		t.Error("the guest did not power off")
	}
}
