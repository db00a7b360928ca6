package machine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"microagent/ch"
	"microagent/runtime/driver"
)

// program puts an executable that prints a version into dir.
func program(t *testing.T, dir, name, version string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho '"+version+"'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// brokenKVM is a host whose device opens and whose CPU has nothing to offer.
func brokenKVM(t *testing.T) kvm {
	t.Helper()
	dir := t.TempDir()
	k := kvm{device: filepath.Join(dir, "kvm"), cpuinfo: filepath.Join(dir, "cpuinfo"), arch: "amd64"}
	for path, text := range map[string]string{k.device: "", k.cpuinfo: "processor\t: 0\nflags\t\t: fpu vme de\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

func TestKVMProbe(t *testing.T) {
	broken := brokenKVM(t)
	absent, unanswered := broken, broken
	absent.device = filepath.Join(t.TempDir(), "none")
	unanswered.cpuinfo = filepath.Join(t.TempDir(), "cpuinfo")
	if err := os.WriteFile(unanswered.cpuinfo, []byte("flags : fpu svm\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, k := range map[kvmState]kvm{kvmUnusable: broken, kvmAbsent: absent, kvmUnanswered: unanswered} {
		state, why := k.probe()
		if state != want || !strings.Contains(why, k.device) {
			t.Errorf("%s: got %s, %q", want, state, why)
		}
	}
	if os.Geteuid() == 0 {
		return
	}
	if err := os.Chmod(broken.device, 0); err != nil {
		t.Fatal(err)
	}
	if state, _ := broken.probe(); state != kvmForbidden {
		t.Errorf("a device without permission: %s", state)
	}
}

func TestChoice(t *testing.T) {
	dir := t.TempDir()
	k := brokenKVM(t)
	qemu := program(t, dir, "qemu", "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg)")
	hv := program(t, dir, "cloud-hypervisor", "cloud-hypervisor v53.0.0")
	none := filepath.Join(dir, "none")

	got, err := Config{QEMU: qemu, CloudHypervisor: hv}.choose(t.Context(), k)
	if err != nil || got.Kind != QEMU || got.Name != "qemu 7.2.22 (tcg)" || got.Hardware || !strings.Contains(got.Why, "neither svm nor vmx") {
		t.Errorf("auto on a host whose KVM can't run: %+v, %v", got, err)
	}
	for name, c := range map[string]Config{
		"cloud-hypervisor without KVM": {VMM: CloudHypervisor, CloudHypervisor: hv, QEMU: qemu},
		"no cloud-hypervisor":          {VMM: CloudHypervisor, CloudHypervisor: none, QEMU: qemu},
		"nothing":                      {CloudHypervisor: none, QEMU: none},
	} {
		_, err := c.choose(t.Context(), k)
		if !errors.Is(err, driver.ErrUnavailable) || driver.Next(err) == "" {
			t.Errorf("%s: %v, next %q", name, err, driver.Next(err))
		}
	}
	if _, err := (Config{VMM: "xen"}).choose(t.Context(), k); !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("unknown VMM: %v", err)
	}
}

func TestHosts(t *testing.T) {
	dir := t.TempDir()
	k := brokenKVM(t)
	h := &Hosts{
		Config: Config{QEMU: program(t, dir, "qemu", "QEMU emulator version 7.2.22"), CloudHypervisor: filepath.Join(dir, "none")},
		Dir:    filepath.Join(dir, "not", "yet"), kvm: k,
		Kernel: func(context.Context) (string, error) { return "6.1.0-56-cloud-amd64", nil },
	}
	host, err := h.Observe(t.Context(), true)
	if err != nil || host.VMM != "qemu 7.2.22 (tcg)" || host.Hardware || host.Kernel == "" || len(host.Missing) != 0 ||
		host.CPUs < 1 || host.Memory <= 0 || host.DiskFree <= 0 {
		t.Errorf("%+v, %v", host, err)
	}
	if room, err := h.Observe(t.Context(), false); err != nil || room.VMM != "" || room.Kernel != "" || len(room.Missing) != 0 ||
		room.CPUs != host.CPUs || room.Memory <= 0 || room.DiskFree <= 0 {
		t.Errorf("%+v, %v", room, err)
	}
	found := h.Diagnose(t.Context())
	if got := codes(found); !slices.Equal(got, []string{"kvm_unusable", "no_cloud_hypervisor", "vmm", "kernel"}) {
		t.Errorf("findings %v", got)
	}
	if found[0].Severity != severityWarning || found[0].Next == "" {
		t.Errorf("%+v", found[0])
	}
	h.Config.QEMU = filepath.Join(dir, "none")
	h.Kernel = func(context.Context) (string, error) {
		return "", &driver.Error{Class: driver.ErrNotFound, Op: "find kernel"}
	}
	host, err = h.Observe(t.Context(), true)
	if err != nil || host.VMM != "" || len(host.Missing) != 2 {
		t.Errorf("a bare host: %+v, %v", host, err)
	}
	for _, f := range host.Missing {
		if what, next, _ := strings.Cut(f, ": "); what == "" || next == "" {
			t.Errorf("%q", f)
		}
	}
}

func TestConfigSaysWhatHasDefaultsThatBite(t *testing.T) {
	c := Spec{
		CPUs: 2, Memory: 256 << 20, Choice: Choice{Kind: QEMU},
		Disks: []Disk{{Serial: "root", Path: "./rootfs.ext4"}, {Serial: "m00", Path: "/cache/b.ext4", ReadOnly: true}},
	}.config()
	if c.Console.Mode != ch.ConsoleOff || c.Serial.Mode != ch.ConsoleSocket || *c.Serial.Socket != "./serial.sock" || c.Vsock.Socket != "./vsock.sock" {
		t.Errorf("consoles and vsock: %+v %+v %+v", c.Console, c.Serial, c.Vsock)
	}
	if len(c.Disks) != 2 || c.LandlockEnable != nil {
		t.Fatalf("%+v", c)
	}
	for i, want := range []string{"root", "m00"} {
		d := c.Disks[i]
		if *d.Id != want || *d.Serial != want || *d.ImageType != ch.ImageRaw || *d.Readonly != (i == 1) {
			t.Errorf("disk %d: %+v", i, d)
		}
	}
}

func TestConsole(t *testing.T) {
	c, err := newConsole(filepath.Join(t.TempDir(), "console.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	for range 500 {
		c.take([]byte("noise\r\n"))
	}
	c.take([]byte("[ 1.0] Kernel panic - not syncing: Attempted to kill init!\x1b[31m exitcode=0\n" + strings.Repeat("x", 4*maxLine)))
	tail := c.Tail()
	if len(tail) != tailLines || !strings.Contains(strings.Join(tail, "\n"), `kill init!\x1b[31m`) {
		t.Errorf("tail %q", tail)
	}
	if want := `Attempted to kill init!\x1b[31m exitcode=0`; c.Panic() != want {
		t.Errorf("panic %q", c.Panic())
	}
	for _, line := range tail {
		if len(line) > maxLine {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
}

func TestAMissingVMMIsSaid(t *testing.T) {
	_, err := Start(t.Context(), Spec{Name: "one", Folder: t.TempDir(), Choice: Choice{Kind: CloudHypervisor, Path: "/none/cloud-hypervisor"}})
	if !errors.Is(err, driver.ErrUnavailable) || driver.Next(err) == "" {
		t.Errorf("%v", err)
	}
}

func TestAVMMThatDiesAtOnceIsQuoted(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "cloud-hypervisor")
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho no hypervisor here >&2\nexit 7\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), Spec{Name: "one", Folder: dir, Choice: Choice{Kind: CloudHypervisor, Path: path}})
	if !errors.Is(err, driver.ErrGuest) || !strings.Contains(err.Error(), "exit status 7: no hypervisor here") {
		t.Errorf("%v", err)
	}
}

// TestFixed: a VMM keeps the lease of a disk that it was started with, so that the disk can't be given back before its end.
func TestFixed(t *testing.T) {
	for _, kind := range []string{CloudHypervisor, QEMU} {
		vm := &VM{spec: Spec{Choice: Choice{Kind: kind}}, cold: map[string]bool{"m00": true}}
		if !vm.Fixed("m00") || vm.Fixed("m01") {
			t.Errorf("%s: started with %t, plugged in later %t", kind, vm.Fixed("m00"), vm.Fixed("m01"))
		}
	}
}
