package kernel

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// VMM is what boots a kernel.
type VMM string

const (
	Adapter         VMM = "adapter"          // QEMU below the adapter
	CloudHypervisor VMM = "cloud-hypervisor" // with KVM
)

// Boot is what a VMM needs to boot a guest.
type Boot struct {
	Kernel    string // path of an ELF kernel, or of a bzImage where that could not be unpacked
	Initramfs string
	Release   string
	Cmdline   string
}

// Boot gives the files and the command line for one VMM and number of CPUs, of the kernel with this id or release
// ("" is the default). An initramfs for this guest binary is built unless it is there. ErrNotFound when no kernel
// is installed.
func (s *Store) Boot(name string, vmm VMM, cpus int) (Boot, error) {
	if modulesFor[vmm] == nil {
		return Boot{}, &driver.Error{Class: driver.ErrInvalid, Op: "boot", Err: fmt.Errorf("there is no VMM %q", vmm)}
	}
	k, err := s.find(name)
	if err != nil {
		return Boot{}, err
	}
	r, err := s.read(k.ID)
	if err != nil {
		return Boot{}, fmt.Errorf("read kernel %s: %w", k.ID, err)
	}
	guest, err := s.guest(s.arch)
	if err != nil {
		return Boot{}, err
	}
	initramfs, err := s.initramfs(r, vmm, guest)
	if err != nil {
		return Boot{}, fmt.Errorf("build initramfs for kernel %s: %w", k.ID, err)
	}
	return Boot{
		Kernel: filepath.Join(k.Path, r.Image), Initramfs: initramfs, Release: r.Release, Cmdline: cmdline(vmm, cpus),
	}, nil
}

// cmdline: what the guest is to do never stands here. The reasons for each switch under emulation are times
// measured with QEMU: no_timer_check and tsc=reliable keep TCG's uneven clocks from stopping the boot (under KVM
// the former hangs it), noreplace-smp and cryptomgr.notests save work, nolapic_timer saves a calibration loop but
// needs a single CPU. The adapter adds tsc_early_khz, which it measures.
func cmdline(vmm VMM, cpus int) string {
	words := []string{"console=ttyS0", "quiet", "panic=-1", "cryptomgr.notests", "random.trust_cpu=on"}
	if vmm == Adapter {
		words = append(words, "no_timer_check", "noreplace-smp", "tsc=reliable")
		if cpus <= 1 {
			words = append(words, "nolapic_timer")
		}
	}
	return strings.Join(words, " ")
}

// initramfsFormat changes with what is made of a guest binary and modules.
const initramfsFormat = 2

// initramfsPath is where the initramfs lies that a VMM boots with a guest binary.
func (s *Store) initramfsPath(r *record, vmm VMM, guest []byte) string {
	h := sha256.New()
	fmt.Fprintln(h, initramfsFormat, r.Modules[vmm], r.Quota, r.Network)
	h.Write(guest)
	sum := h.Sum(nil)
	return filepath.Join(s.folder(r.ID), fmt.Sprintf("initramfs-%s-%s.cpio", vmm, hex.EncodeToString(sum[:8])))
}

func (s *Store) initramfs(r *record, vmm VMM, guest []byte) (string, error) {
	path := s.initramfsPath(r, vmm, guest)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	modules, err := s.modules(r, vmm, r.Modules[vmm])
	if err != nil {
		return "", err
	}
	quota, err := s.modules(r, vmm, r.Quota)
	if err != nil {
		return "", err
	}
	network, err := s.modules(r, vmm, r.Network)
	if err != nil {
		return "", err
	}
	draft, err := layout.NewDraft(path, 0o644)
	if err != nil {
		return "", err
	}
	defer func() { _ = draft.Close() }()
	w := bufio.NewWriterSize(draft, 1<<20)
	if err := writeInitramfs(w, guest, []moduleList{{"list", modules}, {"quota", quota}, {"network", network}}); err != nil {
		return "", err
	}
	if err := w.Flush(); err != nil {
		return "", err
	}
	if err := draft.Publish(); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	return path, nil
}

// modules reads modules for a VMM. Under the adapter nothing can look at signatures; cloud-hypervisor's guests
// may run a kernel that insists on them.
func (s *Store) modules(r *record, vmm VMM, names []string) ([]moduleFile, error) {
	var list []moduleFile
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(s.folder(r.ID), modulesDir, filepath.Base(name)))
		if err != nil {
			return nil, err
		}
		if vmm == Adapter {
			if data, err = unsigned(data); err == nil {
				data, err = untyped(data)
			}
			if err != nil {
				return nil, fmt.Errorf("module %s: %w", name, err)
			}
		}
		list = append(list, moduleFile{filepath.Base(name), data})
	}
	return list, nil
}
