package chtest

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"microagent/runtime/kernel"

	"github.com/cavaliergopher/cpio"
)

// Guest is what the suite boots.
type Guest struct {
	Kernel    string // path of a kernel that both servers take
	Initramfs string
}

// KernelDeb names the environment variable with a Debian kernel package. Without it apt is asked for one, once:
// it is kept in the user's cache directory.
const KernelDeb = "MICROAGENT_TEST_KERNEL_DEB"

// modules are loaded in this order; those that the kernel has built in, or does not have, are left out.
var modules = []string{
	"virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci", "virtio_blk",
	"virtio_console", "rng-core", "virtio-rng", "vsock", "vmw_vsock_virtio_transport_common",
	"vmw_vsock_virtio_transport", "pvpanic", "pvpanic-pci",
}

// PrepareGuest builds the guest in dir. The test is skipped, with the reason, where there is no kernel to be had.
func PrepareGuest(t *testing.T, dir string) Guest {
	t.Helper()
	if testing.Short() {
		t.Skip("boots guests: left out with -short")
	}
	if runtime.GOARCH != "amd64" {
		t.Skipf("the suite's guest is for amd64, this is %s", runtime.GOARCH)
	}
	tree, err := kernelTree(t.Context(), t.Logf)
	if err != nil {
		t.Skipf("no kernel to boot a guest with (set %s): %v", KernelDeb, err)
	}
	guest, err := buildGuest(t.Context(), tree, dir)
	if err != nil {
		t.Fatalf("build the guest: %v", err)
	}
	return guest
}

// kernelTree gives a directory with an unpacked kernel package.
func kernelTree(ctx context.Context, log func(string, ...any)) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	deb := os.Getenv(KernelDeb)
	cache = filepath.Join(cache, "microagent-test")
	name := "apt"
	if deb != "" {
		name = strings.TrimSuffix(filepath.Base(deb), ".deb")
	}
	tree := filepath.Join(cache, "kernel-"+name)
	if found, _ := filepath.Glob(filepath.Join(tree, "boot", "vmlinuz-*")); len(found) > 0 {
		return tree, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	temporary, err := os.MkdirTemp(cache, "unpack-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(temporary)
	debs := []string{deb}
	if deb == "" {
		if debs, err = kernel.Download(ctx, "amd64", temporary, nil); err != nil {
			return "", err
		}
	}
	unpacked := filepath.Join(temporary, "tree")
	for _, deb := range debs {
		log("unpack %s", filepath.Base(deb))
		if err := command(ctx, "", "dpkg-deb", "-x", deb, unpacked); err != nil {
			return "", err
		}
	}
	if err := os.Rename(unpacked, tree); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	return tree, nil
}

func command(ctx context.Context, dir, name string, args ...string) error {
	c := exec.CommandContext(ctx, name, args...)
	c.Dir = dir
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}

func buildGuest(ctx context.Context, tree, dir string) (Guest, error) {
	kernels, _ := filepath.Glob(filepath.Join(tree, "boot", "vmlinuz-*"))
	g := Guest{Kernel: kernels[0], Initramfs: filepath.Join(dir, "initramfs")}
	init := filepath.Join(dir, "init")
	if _, err := elf.Open(os.Getenv(GuestBinary)); err == nil {
		init = os.Getenv(GuestBinary)
	} else if err := command(ctx, "", "go", "build", "-trimpath", "-ldflags=-s -w", "-o", init, "microagent/ch/chtest/guest"); err != nil {
		return g, err
	}
	archive, err := os.Create(g.Initramfs)
	if err != nil {
		return g, err
	}
	defer archive.Close()
	w := cpio.NewWriter(archive)
	for _, d := range []string{"dev", "proc", "sys", "modules"} {
		if err := w.WriteHeader(&cpio.Header{Name: d, Mode: cpio.TypeDir | 0o755}); err != nil {
			return g, err
		}
	}
	if err := add(w, "init", init); err != nil {
		return g, err
	}
	found, err := findModules(tree)
	if err != nil {
		return g, err
	}
	for i, m := range modules {
		path, ok := found[strings.ReplaceAll(m, "-", "_")]
		if !ok {
			continue
		}
		if path, err = plain(ctx, path, dir); err != nil {
			return g, err
		}
		if err := add(w, fmt.Sprintf("modules/%02d-%s.ko", i, m), path); err != nil {
			return g, err
		}
	}
	return g, w.Close()
}

// GuestBinary names the environment variable with a guest that was built before, for hosts without a Go toolchain.
const GuestBinary = "MICROAGENT_TEST_CHGUEST"

// findModules gives the paths of all modules in a tree, by their names with "_" for "-".
func findModules(tree string) (map[string]string, error) {
	found := map[string]string{}
	dir := filepath.Join(tree, "lib", "modules")
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		dir = filepath.Join(tree, "usr", "lib", "modules") // since Debian 13
	}
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if base, _, ok := strings.Cut(filepath.Base(path), ".ko"); ok {
			found[strings.ReplaceAll(base, "-", "_")] = path
		}
		return err
	})
	return found, err
}

// plain gives a module's path, or that of its copy in dir where it is compressed.
func plain(ctx context.Context, path, dir string) (string, error) {
	if !strings.HasSuffix(path, ".xz") {
		return path, nil
	}
	unpacked := filepath.Join(dir, strings.TrimSuffix(filepath.Base(path), ".xz"))
	return unpacked, command(ctx, "", "sh", "-c", `xz -dc "$1" >"$2"`, "sh", path, unpacked)
}

func add(w *cpio.Writer, name, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := w.WriteHeader(&cpio.Header{Name: name, Mode: cpio.TypeReg | 0o755, Size: info.Size()}); err != nil {
		return err
	}
	_, err = io.Copy(w, f)
	return err
}
