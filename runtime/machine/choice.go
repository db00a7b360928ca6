package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"microagent/ch"
	"microagent/runtime/driver"
)

// The VMMs, as --vmm takes them.
const (
	Auto            = "auto"
	CloudHypervisor = "cloud-hypervisor"
	QEMU            = "qemu"
)

// EnvCloudHypervisor names the environment variable with cloud-hypervisor's path.
const EnvCloudHypervisor = "MICROAGENT_CLOUD_HYPERVISOR"

const (
	cloudHypervisorBinary = "cloud-hypervisor"
	qemuBinaryAMD64       = "qemu-system-x86_64"
	qemuBinaryARM64       = "qemu-system-aarch64"
)

// Choice is the VMM that runs a workspace. It is plain data, and part of a supervisor's spec.
type Choice struct {
	Kind     string `json:"kind"`              // CloudHypervisor or QEMU
	Name     string `json:"name"`              // "cloud-hypervisor v53.0.0", "qemu 7.2.22 (tcg)"
	Path     string `json:"path"`              // of the binary
	Version  string `json:"version,omitempty"` // of QEMU, "7.2.22"; "" of an earlier microagent
	Hardware bool   `json:"hardware"`          // isolated by hardware virtualisation
	Why      string `json:"why"`               // why not the better one; empty for the best there is
}

// Config says which VMM is wanted and where it is.
type Config struct {
	VMM             string // Auto when it is empty
	CloudHypervisor string // path; "" looks on PATH
	QEMU            string // path; "" looks on PATH
	Versions        string // a file to keep what they said of their versions in, "" for none: asking takes some 50 ms
	ReadOnly        bool   // that file is only read
}

// found is one VMM's binary with its version.
type found struct {
	path    string
	version string // "v53.0.0", "7.2.22"
	err     error  // why it can't be used
	old     bool   // it is there and too old
	note    string // what to know about a version that can be used
}

// Choose decides which VMM runs a workspace. The error is of class driver.ErrUnavailable, or driver.ErrInvalid for a
// VMM that nobody knows; it starts nothing but `VMM --version`.
func (c Config) Choose(ctx context.Context) (Choice, error) { return c.choose(ctx, hostKVM) }

func (c Config) choose(ctx context.Context, k prober) (Choice, error) {
	state, why := k.probe()
	return c.decide(state, why, func() found { return c.findCloudHypervisor(ctx) }, func() found { return c.findQEMU(ctx) })
}

// decide looks only for the programs that its answer depends on.
func (c Config) decide(state kvmState, why string, cloudHypervisorFound, qemuFound func() found) (Choice, error) {
	const op = "choose a VMM"
	switch c.VMM {
	case CloudHypervisor:
		hv := cloudHypervisorFound()
		if hv.err != nil {
			return Choice{}, &driver.Error{Class: driver.ErrUnavailable, Op: op, Err: hv.err, Next: "install cloud-hypervisor v53 or later, or take --vmm auto"}
		}
		if state != kvmWorks {
			return Choice{}, &driver.Error{Class: driver.ErrUnavailable, Op: op, Err: errors.New("cloud-hypervisor needs KVM: " + why), Next: kvmNext(state)}
		}
		return cloudHypervisor(hv), nil
	case QEMU:
		return chooseQEMU(qemuFound(), state, "QEMU was asked for")
	case "", Auto:
		hv := cloudHypervisorFound()
		switch {
		case state == kvmWorks && hv.err == nil:
			return cloudHypervisor(hv), nil
		case state == kvmWorks:
			why = hv.err.Error()
		}
		return chooseQEMU(qemuFound(), state, why)
	}
	return Choice{}, &driver.Error{
		Class: driver.ErrInvalid, Op: op, Err: fmt.Errorf("no VMM is called %q", c.VMM),
		Next: "take auto, cloud-hypervisor or qemu",
	}
}

func cloudHypervisor(hv found) Choice {
	return Choice{Kind: CloudHypervisor, Name: cloudHypervisorBinary + " " + hv.version, Path: hv.path, Hardware: true}
}

func chooseQEMU(q found, state kvmState, why string) (Choice, error) {
	if q.err != nil {
		return Choice{}, &driver.Error{Class: driver.ErrUnavailable, Op: "choose a VMM", Err: fmt.Errorf("%s, and %w", why, q.err), Next: nextQEMU}
	}
	accel := "tcg"
	if state == kvmWorks {
		accel = "kvm"
	}
	return Choice{
		Kind: QEMU, Name: fmt.Sprintf("qemu %s (%s)", q.version, accel), Version: q.version, Path: q.path, Hardware: state == kvmWorks, Why: why,
	}, nil
}

const nextQEMU = "sudo apt-get install qemu-system-x86"

func kvmNext(state kvmState) string {
	switch state {
	case kvmForbidden:
		return "sudo usermod -aG kvm $USER, and log in again"
	case kvmAbsent:
		return "switch virtualisation on in the firmware and load kvm-intel or kvm-amd, or take --vmm qemu"
	}
	return "switch virtualisation on in the firmware, or nested virtualisation on the host of this VM; or take --vmm qemu"
}

func (c Config) findCloudHypervisor(ctx context.Context) found {
	f := c.find(ctx, first(c.CloudHypervisor, cloudHypervisorBinary))
	if f.err != nil {
		return f
	}
	v, err := ch.ParseVersion(f.version)
	if err != nil {
		f.err = fmt.Errorf("%s does not say its version: %w", f.path, err)
		return f
	}
	f.version = v.String()
	if f.note, err = ch.CheckVersion(v); err != nil {
		f.err, f.old = err, true
	}
	return f
}

func (c Config) findQEMU(ctx context.Context) found {
	f := c.find(ctx, first(c.QEMU, qemuBinary()))
	if f.err != nil {
		return f
	}
	v, err := ch.ParseVersion(f.version)
	if err != nil {
		f.err = fmt.Errorf("%s does not say its version: %w", f.path, err)
		return f
	}
	f.version = strings.TrimPrefix(v.String(), "v")
	return f
}

func qemuBinary() string {
	if hostKVM.arch == "arm64" {
		return qemuBinaryARM64
	}
	return qemuBinaryAMD64
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// find looks a program up and asks its version: the first line of what --version prints.
func (c Config) find(ctx context.Context, name string) found {
	path, err := exec.LookPath(name)
	if err != nil {
		return found{err: fmt.Errorf("%s is not installed", name)}
	}
	line, err := c.remember(path, func() (string, error) {
		out, err := ask(ctx, path, "--version")
		line, _, _ := strings.Cut(string(out), "\n")
		return line, err
	})
	if err != nil {
		return found{path: path, err: fmt.Errorf("%s --version: %w", path, err)}
	}
	return found{path: path, version: line}
}

// knowsSandbox says whether a QEMU has its seccomp filter: one that was built without it fails at the option.
func knowsSandbox(ctx context.Context, path string) bool {
	_, err := ask(ctx, path, "-sandbox", "on", "--version")
	return err == nil
}

// ask gives what a VMM prints.
func ask(ctx context.Context, path string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal's ^C is for us; we end it by ctx
	return cmd.Output()
}
