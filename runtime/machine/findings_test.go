package machine

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"microagent/ch"
	"microagent/runtime/driver"
)

func codes(list []driver.Finding) []string {
	var out []string
	for _, f := range list {
		out = append(out, f.Code)
	}
	return out
}

// healthy is a host that lacks nothing.
func healthy() facts {
	return facts{
		kvm: kvmWorks, cloudHypervisor: found{path: "/usr/bin/cloud-hypervisor", version: "v53.0.0"}, qemu: found{version: "7.2.22"},
		choice: Choice{Kind: CloudHypervisor, Name: "cloud-hypervisor v53.0.0", Hardware: true},
		kernel: "6.1.0-56-cloud-amd64", memory: 8 << 30, disk: 8 << 30, dir: "/state", landlock: cloudHypervisorLandlock,
	}
}

func TestAHealthyHost(t *testing.T) {
	for _, f := range healthy().findings() {
		if f.Severity != severityOK {
			t.Errorf("%+v", f)
		}
	}
}

// Each thing that can be wrong is found, with what mends it.
func TestFindings(t *testing.T) {
	for name, c := range map[string]struct {
		change         func(*facts)
		code, severity string
		message, next  string
	}{
		"no KVM": {func(f *facts) { f.kvm, f.kvmWhy = kvmAbsent, "there is no /dev/kvm" },
			"no_kvm", severityWarning, "there is no /dev/kvm; guests are emulated", "load kvm-intel or kvm-amd"},
		"KVM that can't run a guest": {func(f *facts) { f.kvm, f.kvmWhy = kvmUnusable, "neither svm nor vmx" },
			"kvm_unusable", severityWarning, "neither svm nor vmx; guests are emulated", "nested virtualisation"},
		"KVM that doesn't answer": {func(f *facts) { f.kvm, f.kvmWhy = kvmUnanswered, "/dev/kvm opens and makes no VM" },
			"kvm_unusable", severityWarning, "makes no VM", "--vmm qemu"},
		"a kernel without landlock": {func(f *facts) { f.landlock = 0 },
			"no_landlock", severityWarning, "no landlock", "lsm="},
		"a landlock that cloud-hypervisor can't use": {func(f *facts) { f.landlock = cloudHypervisorLandlock - 1 },
			"no_landlock", severityWarning, "landlock", "lsm="},
		"a QEMU without seccomp": {func(f *facts) { f.unfiltered, f.choice.Kind = true, QEMU },
			"no_seccomp", severityWarning, "built without seccomp", "install a QEMU"},
		"a kernel without seccomp": {func(f *facts) { f.openSockets = true },
			"no_socket_filter", severityWarning, "may connect to unix sockets", "CONFIG_SECCOMP_FILTER"},
		"no permission": {func(f *facts) { f.kvm, f.kvmWhy = kvmForbidden, "/dev/kvm may not be opened by this user" },
			"kvm_forbidden", severityWarning, "may not be opened", "sudo usermod -aG kvm $USER"},
		"no cloud-hypervisor": {func(f *facts) { f.cloudHypervisor = found{err: errors.New("cloud-hypervisor is not installed")} },
			"no_cloud_hypervisor", severityWarning, "guests run under QEMU with KVM", "install cloud-hypervisor v53 or later"},
		"an old cloud-hypervisor": {func(f *facts) { f.cloudHypervisor = found{err: ch.ErrTooOld, old: true} },
			"old_cloud_hypervisor", severityWarning, "too old", "install a newer"},
		"a new cloud-hypervisor": {func(f *facts) { f.cloudHypervisor.note = "newer than v53" },
			"new_cloud_hypervisor", severityNote, "newer than v53", "report"},
		"no VMM at all": {func(f *facts) {
			f.choiceErr = &driver.Error{Class: driver.ErrUnavailable, Op: "choose a VMM", Err: errors.New("no qemu"), Next: nextQEMU}
		}, "no_qemu", severityError, "no qemu", "sudo apt-get install qemu-system-x86"},
		"cloud-hypervisor asked for and no KVM": {func(f *facts) {
			f.vmm, f.kvm = CloudHypervisor, kvmForbidden
			f.choiceErr = &driver.Error{Class: driver.ErrUnavailable, Op: "choose a VMM", Err: errors.New("needs KVM"), Next: kvmNext(kvmForbidden)}
		}, "kvm_forbidden", severityError, "needs KVM", "sudo usermod"},
		"cloud-hypervisor asked for, not there, and no KVM": {func(f *facts) {
			f.vmm, f.kvm, f.cloudHypervisor = CloudHypervisor, kvmAbsent, found{err: errors.New("cloud-hypervisor is not installed")}
			f.choiceErr = &driver.Error{Class: driver.ErrUnavailable, Op: "choose a VMM", Err: f.cloudHypervisor.err, Next: "install cloud-hypervisor v53 or later"}
		}, "no_cloud_hypervisor", severityError, "not installed", "install cloud-hypervisor v53 or later"},
		"an old cloud-hypervisor asked for": {func(f *facts) {
			f.vmm, f.cloudHypervisor = CloudHypervisor, found{err: ch.ErrTooOld, old: true}
			f.choiceErr = &driver.Error{Class: driver.ErrUnavailable, Op: "choose a VMM", Err: ch.ErrTooOld, Next: "install cloud-hypervisor v53 or later"}
		}, "old_cloud_hypervisor", severityError, "too old", "install cloud-hypervisor v53 or later"},
		"no KVM for a cloud-hypervisor that is not there": {func(f *facts) {
			f.vmm, f.kvm, f.kvmWhy, f.cloudHypervisor = CloudHypervisor, kvmAbsent, "there is no /dev/kvm", found{err: errors.New("not installed")}
			f.choiceErr = f.cloudHypervisor.err
		}, "no_kvm", severityWarning, "there is no /dev/kvm", "load kvm-intel or kvm-amd"},
		"no kernel": {func(f *facts) { f.kernelErr = &driver.Error{Class: driver.ErrNotFound, Op: "find kernel"} },
			"no_kernel", severityError, "no guest kernel is installed", "microagent kernel install"},
		"little memory": {func(f *facts) { f.memory = minMemory - 1<<20 },
			"low_memory", severityWarning, "255 MiB", "give workspaces less memory"},
		"little disk": {func(f *facts) { f.disk = minDisk - 1<<20 },
			"low_disk", severityWarning, "511 MiB are free below /state", "microagent prune"},
	} {
		f := healthy()
		c.change(&f)
		list := f.findings()
		i := slices.IndexFunc(list, func(f driver.Finding) bool { return f.Code == c.code && f.Severity == c.severity })
		if i < 0 {
			t.Errorf("%s: no %s among %+v", name, c.code, list)
			continue
		}
		if !strings.Contains(list[i].Message, c.message) || !strings.Contains(list[i].Next, c.next) {
			t.Errorf("%s: %+v", name, list[i])
		}
		if n := slices.IndexFunc(list[i+1:], func(f driver.Finding) bool { return f.Code == c.code }); n >= 0 {
			t.Errorf("%s: told of twice: %+v", name, list)
		}
		if list[0].Severity == severityOK {
			t.Errorf("%s: the worst does not come first: %+v", name, list)
		}
	}
}

// What the versions of programs make of them.
func TestVersionsOfCloudHypervisor(t *testing.T) {
	for version, want := range map[string]struct {
		old  bool
		note string
	}{"v41.2.0": {old: true}, "v52.0": {old: true}, "v53.0": {}, "v54.1": {note: "newer than v53"}} {
		path := program(t, t.TempDir(), "cloud-hypervisor", "cloud-hypervisor "+version)
		f := Config{CloudHypervisor: path}.findCloudHypervisor(t.Context())
		if f.old != want.old || errors.Is(f.err, ch.ErrTooOld) != want.old || !strings.Contains(f.note, want.note) || (want.note == "") != (f.note == "") {
			t.Errorf("%s: %+v", version, f)
		}
	}
	if f := (Config{CloudHypervisor: filepath.Join(t.TempDir(), "none")}).findCloudHypervisor(t.Context()); f.err == nil || f.old {
		t.Errorf("a program that is not there: %+v", f)
	}
}

// A program is asked its version out of reach of the terminal's ^C, which would make it look broken.
func TestVersionIsAskedInAGroupOfItsOwn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "qemu")
	if err := os.WriteFile(path, []byte("#!/bin/sh\ncut -d' ' -f5 < /proc/$$/stat\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if f := (Config{}).find(t.Context(), path); f.err != nil || f.version == strconv.Itoa(syscall.Getpgrp()) {
		t.Errorf("it runs in group %s, as we do; %v", f.version, f.err)
	}
}
