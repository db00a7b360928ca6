package machine

import (
	"debug/elf"
	"io"
	"os"
	"path/filepath"
	"strings"

	"microagent/ch"
	"microagent/runtime/confine"
	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// cloudHypervisorLandlock is the version of landlock that cloud-hypervisor needs: the first that can forbid truncation,
// Linux 6.2. Asked for on an older kernel it refuses to make the VM, and boots it unconfined when asked again.
const cloudHypervisorLandlock = 3

// canLandlock says whether the kernel can confine cloud-hypervisor.
func canLandlock() bool { return confine.LandlockVersion() >= cloudHypervisorLandlock }

// rules are the files that the adapter and QEMU may open: the programs and what they load, what the guest boots, a few
// devices, and the folder of sockets to write in. Disks are open already. cloud-hypervisor makes rules of its own from
// the VM's configuration.
func (s Spec) rules() []confine.Rule {
	if s.Choice.Kind == CloudHypervisor {
		return nil
	}
	rules := []confine.Rule{
		{Path: filepath.Join(s.Folder, layout.VMMDir), Rights: confine.Serve},
		{Path: s.Boot.Kernel, Rights: confine.Read},
		{Path: s.Boot.Initramfs, Rights: confine.Read},
		{Path: "/dev/null", Rights: confine.Device},
		{Path: "/dev/urandom", Rights: confine.Read},
		{Path: "/proc/cpuinfo", Rights: confine.Read}, // how even the clock is that the guest reads, and whether KVM can work
		{Path: self, Rights: confine.Execute},
	}
	if s.Choice.Hardware {
		rules = append(rules, confine.Rule{Path: "/dev/kvm", Rights: confine.Device})
	}
	return append(rules, programRules(s.Choice.Path)...)
}

// self is this program, which is also the adapter, wherever its file is by now and whoever may reach that.
const self = "/proc/self/exe"

// Where systems keep libraries, what QEMU loads besides them, and programs.
var (
	libraryDirs  = []string{"/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec", "/usr/local/lib", "/usr/local/lib64"}
	libraryFiles = []string{"/etc/ld.so.cache", "/etc/ld.so.preload"}
	dataDirs     = []string{"/usr/share/qemu", "/usr/share/qemu-kvm", "/usr/share/seabios", "/usr/local/share/qemu"}
	programDirs  = []string{"/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin"}
)

// stores are folders, by an element of a program's path, in which all programs and libraries are kept together.
var stores = []string{"/nix/store/", "/gnu/store/", "/Cellar/"}

// programRules allow a program to be executed and to load what it needs. A script in its place may start any of the
// system's programs.
func programRules(path string) []confine.Rule {
	var rules []confine.Rule
	allow := func(rights confine.Rights, paths ...string) {
		for _, p := range paths {
			rules = append(rules, confine.Rule{Path: p, Rights: rights})
		}
	}
	allow(confine.Execute, libraryDirs...)
	allow(confine.Read, libraryFiles...)
	allow(confine.Read, dataDirs...)
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return rules // starting it says the same
	}
	allow(confine.Execute, real)
	for _, store := range stores {
		if i := strings.Index(real, store); i >= 0 {
			allow(confine.Execute, real[:i+len(store)])
		}
	}
	if prefix := filepath.Dir(filepath.Dir(real)); prefix != "/" && filepath.Base(filepath.Dir(real)) == "bin" {
		allow(confine.Execute, filepath.Join(prefix, "lib"), filepath.Join(prefix, "lib64"))
		allow(confine.Read, filepath.Join(prefix, "share", "qemu"))
	}
	program, err := elf.Open(real)
	if err != nil {
		if isScript(real) {
			allow(confine.Execute, programDirs...)
		}
		return rules
	}
	defer program.Close()
	allow(confine.Execute, interpreter(program)...)
	for _, tag := range []elf.DynTag{elf.DT_RPATH, elf.DT_RUNPATH} {
		lists, _ := program.DynString(tag) // a program without any is usual
		for _, list := range lists {
			for _, dir := range filepath.SplitList(strings.NewReplacer("$ORIGIN", filepath.Dir(real), "${ORIGIN}", filepath.Dir(real)).Replace(list)) {
				if filepath.IsAbs(dir) {
					allow(confine.Execute, filepath.Clean(dir))
				}
			}
		}
	}
	return rules
}

// interpreter is the dynamic loader that a program names.
func interpreter(program *elf.File) []string {
	for _, p := range program.Progs {
		if p.Type == elf.PT_INTERP {
			name, err := io.ReadAll(io.LimitReader(p.Open(), 4096))
			if err == nil {
				return []string{strings.TrimRight(string(name), "\x00")}
			}
		}
	}
	return nil
}

func isScript(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	var head [2]byte
	_, err = io.ReadFull(f, head[:])
	return err == nil && string(head[:]) == "#!"
}

// Sandbox says what holds the VMM besides its lack of capabilities.
func (vm *VM) Sandbox() driver.Sandbox {
	if vm.spec.Choice.Kind == CloudHypervisor {
		return driver.Sandbox{Seccomp: true, Landlock: canLandlock()}
	}
	return driver.Sandbox{Seccomp: ch.HasSeccomp(vm.ping), Landlock: confine.LandlockVersion() > 0}
}
