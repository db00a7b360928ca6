package qemu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"microagent/schema/pattern"
)

// Accel is how QEMU runs the guest's instructions.
type Accel string

const (
	TCG Accel = "tcg" // in software: anywhere, some 15 times slower, and no security boundary
	KVM Accel = "kvm" // by the hardware
)

// program is what an architecture needs of QEMU.
type program struct {
	binary  string
	machine string
	// cpu by accelerator.
	cpu map[Accel]string
	// firmware boots an ELF kernel faster than QEMU's own; it is used when one of these files is there.
	firmware []string
}

// emulatedCPU is a compromise: images are built for x86-64-v2, and what is above it was emulated wrongly for long.
const emulatedCPU = "Nehalem,+rdrand"

// programs is the one table of what the adapter can run.
var programs = map[string]program{
	"amd64": {
		binary:  "qemu-system-x86_64",
		machine: "q35",
		cpu:     map[Accel]string{TCG: emulatedCPU, KVM: "host"},
		firmware: []string{
			"/usr/share/qemu/qboot.rom", "/usr/share/seabios/qboot.rom", "/usr/share/qemu-kvm/qboot.rom",
			"/usr/local/share/qemu/qboot.rom", "/opt/homebrew/share/qemu/qboot.rom",
		},
	},
}

// Found is a QEMU that can serve as the VMM.
type Found struct {
	Binary  string // absolute path
	Version string // "7.2.22"
	Accel   Accel  // the better one that works here
	Why     string // why KVM is not used; "" when it is
}

// ErrNone says that there is no usable QEMU; its text says what is missing.
var ErrNone = errors.New("no usable QEMU")

// Find looks for QEMU on PATH. It starts nothing but `qemu --version`.
func Find(ctx context.Context) (Found, error) {
	p, ok := programs[runtime.GOARCH]
	if !ok {
		return Found{}, fmt.Errorf("%w: none is known for %s", ErrNone, runtime.GOARCH)
	}
	path, err := exec.LookPath(p.binary)
	if err != nil {
		return Found{}, fmt.Errorf("%w: %w", ErrNone, err)
	}
	if path, err = filepath.Abs(path); err != nil {
		return Found{}, fmt.Errorf("%w: %w", ErrNone, err)
	}
	version, err := versionOf(ctx, path)
	if err != nil {
		return Found{}, fmt.Errorf("%w: %w", ErrNone, err)
	}
	found := Found{Binary: path, Version: version, Accel: KVM}
	if err := KVMWorks(); err != nil {
		found.Accel, found.Why = TCG, err.Error()
	}
	return found, nil
}

var versionLine = pattern.Of(`version (\d+\.\d+(?:\.\d+)?)`)

// oldest is the first QEMU with -action and fd-passing chardevs as they are used here; 7.2 is what was tested.
const oldest = 7

func versionOf(ctx context.Context, binary string) (string, error) {
	cmd := exec.CommandContext(ctx, binary, "--version")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal's ^C is for us; we end it by ctx
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", binary, err)
	}
	m := versionLine().FindSubmatch(out)
	if m == nil {
		return "", fmt.Errorf("%s --version says %q", binary, firstLine(out))
	}
	return string(m[1]), newEnough(binary, string(m[1]))
}

func newEnough(binary, version string) error {
	major, _, _ := strings.Cut(version, ".")
	if n, err := strconv.Atoi(major); err != nil || n < oldest {
		return fmt.Errorf("%s is version %s, and %d is needed", binary, version, oldest)
	}
	return nil
}

func firstLine(b []byte) string {
	line, _, _ := bytes.Cut(b, []byte("\n"))
	return string(line)
}

// KVMWorks says why KVM can't run a guest here; nil when it can. A /dev/kvm that opens is not enough: there are
// hosts where it does and no guest ever runs an instruction, since the CPU has no virtualisation to offer.
func KVMWorks() error {
	file, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	const getAPIVersion, kvmAPI = 0xAE00, 12
	version, err := unix.IoctlRetInt(int(file.Fd()), getAPIVersion)
	if err != nil {
		return fmt.Errorf("/dev/kvm: %w", err)
	}
	if version != kvmAPI {
		return fmt.Errorf("/dev/kvm has API version %d, not %d", version, kvmAPI)
	}
	if runtime.GOARCH != "amd64" {
		return nil
	}
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return fmt.Errorf("look for svm or vmx: %w", err)
	}
	if !hasCPUFlag(text, "svm") && !hasCPUFlag(text, "vmx") {
		return errors.New("/dev/kvm opens, but the CPU has neither svm nor vmx: no guest would run")
	}
	return nil
}

func hasCPUFlag(cpuinfo []byte, flag string) bool {
	for line := range bytes.Lines(cpuinfo) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if string(bytes.TrimSpace(name)) != "flags" {
			continue
		}
		for _, f := range bytes.Fields(value) {
			if string(f) == flag {
				return true
			}
		}
		return false
	}
	return false
}

func firstFile(paths []string) string {
	for _, p := range paths {
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() {
			return p
		}
	}
	return ""
}
