package kernel

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// guest stands for the guest binary: nothing here runs it.
func guest(string) ([]byte, error) { return []byte("guest binary"), nil }

func newStore(t *testing.T) *Store {
	t.Helper()
	return New(layout.State{Dir: t.TempDir()}, "amd64", guest)
}

// fakeParts is a kernel whose image can't be unpacked, with the modules of the adapter's list.
func fakeParts(release string) *parts {
	p := &parts{source: "test", release: release, vmlinuz: []byte("image " + release), modules: map[string][]byte{},
		builtin: map[string]bool{"ext4": true}}
	for name, depends := range map[string]string{
		"virtio": "", "virtio_ring": "virtio", "virtio_pci": "virtio_ring,virtio", "virtio_blk": "virtio", "virtio_console": "virtio",
		"vsock": "", "vmw_vsock_virtio_transport": "vsock", "unused": "nothing-that-exists",
	} {
		p.modules[name] = moduleELF("depends="+depends, "vermagic="+release+" SMP mod_unload")
	}
	return p
}

func TestNoKernelSaysWhatToDo(t *testing.T) {
	s := newStore(t)
	_, err := s.Boot("", Adapter, 1)
	if !errors.Is(err, driver.ErrNotFound) || driver.Next(err) != "microagent kernel install" {
		t.Errorf("%v, next %q", err, driver.Next(err))
	}
	if list, err := s.List(); err != nil || len(list) != 0 {
		t.Errorf("list of nothing: %v, %v", list, err)
	}
	if _, err := os.Stat(s.dir()); !errors.Is(err, fs.ErrNotExist) {
		t.Error("reading made a folder")
	}
}

func TestInstallListChooseRemove(t *testing.T) {
	s := newStore(t)
	for _, release := range []string{"6.1.0-9-cloud-amd64", "6.12.3-cloud-amd64", "6.1.0-56-cloud-amd64"} {
		if _, err := s.install(t.Context(), fakeParts(release), nil); err != nil {
			t.Fatal(err)
		}
	}
	again, err := s.install(t.Context(), fakeParts("6.1.0-9-cloud-amd64"), nil)
	if err != nil || again.Release != "6.1.0-9-cloud-amd64" {
		t.Fatalf("the same again: %+v, %v", again, err)
	}
	list, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	var releases []string
	for _, k := range list {
		releases = append(releases, k.Release)
	}
	if want := []string{"6.12.3-cloud-amd64", "6.1.0-56-cloud-amd64", "6.1.0-9-cloud-amd64"}; !slices.Equal(releases, want) || !list[0].Default {
		t.Errorf("list %q, default %v", releases, list[0].Default)
	}
	if err := s.Choose("6.1.0-9-cloud-amd64"); err != nil {
		t.Fatal(err)
	}
	if k, err := s.Default(); err != nil || k.Release != "6.1.0-9-cloud-amd64" {
		t.Errorf("default %+v, %v", k, err)
	}
	if err := s.Choose("5.0"); !errors.Is(err, driver.ErrNotFound) {
		t.Errorf("choose what is not there: %v", err)
	}
	if err := s.Remove("6.1.0-9-cloud-amd64"); err != nil {
		t.Fatal(err)
	}
	if k, err := s.Default(); err != nil || k.Release != "6.12.3-cloud-amd64" {
		t.Errorf("default after the chosen one went: %+v, %v", k, err)
	}
	for _, bad := range []string{"", "../x", "6.1.0-9-cloud-amd64"} {
		if err := s.Remove(bad); err == nil {
			t.Errorf("remove %q succeeded", bad)
		}
	}
}

func TestInstallConvergesAfterACrash(t *testing.T) {
	s := newStore(t)
	half := filepath.Join(s.dir(), unfinished+"123")
	if err := os.MkdirAll(filepath.Join(half, modulesDir), 0o700); err != nil {
		t.Fatal(err)
	}
	k, err := s.install(t.Context(), fakeParts("6.1"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(half); !errors.Is(err, fs.ErrNotExist) {
		t.Error("what the crash left is still there")
	}
	// A removal that stopped after the record.
	if err := os.Remove(filepath.Join(k.Path, recordFile)); err != nil {
		t.Fatal(err)
	}
	if list, err := s.List(); err != nil || len(list) > 0 {
		t.Errorf("half removed and listed: %v, %v", list, err)
	}
	if _, err := s.install(t.Context(), fakeParts("6.1"), nil); err != nil {
		t.Errorf("install over a half removed one: %v", err)
	}
}

func TestBootOfEachVMM(t *testing.T) {
	s := newStore(t)
	if _, err := s.install(t.Context(), fakeParts("6.1"), nil); err != nil {
		t.Fatal(err)
	}
	a, err := s.Boot("", Adapter, 1)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Boot("6.1", CloudHypervisor, 2)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(a.Cmdline, "no_timer_check") || !strings.Contains(a.Cmdline, "nolapic_timer") || strings.Contains(a.Cmdline, "tsc_early_khz") {
		t.Errorf("adapter: %q", a.Cmdline)
	}
	if strings.Contains(c.Cmdline, "no_timer_check") {
		t.Errorf("a KVM guest hangs with %q", c.Cmdline)
	}
	if b, _ := s.Boot("", Adapter, 2); strings.Contains(b.Cmdline, "nolapic_timer") {
		t.Errorf("two CPUs: %q", b.Cmdline)
	}
	for _, word := range []string{"console=ttyS0", "panic=-1"} {
		if !strings.Contains(a.Cmdline, word) || !strings.Contains(c.Cmdline, word) {
			t.Errorf("no %s in %q or %q", word, a.Cmdline, c.Cmdline)
		}
	}
	if filepath.Base(a.Kernel) != "vmlinuz" {
		t.Errorf("an image that can't be unpacked boots from %s", a.Kernel)
	}
	before, err := os.ReadFile(a.Initramfs)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(a.Initramfs); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Boot("", Adapter, 1); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(a.Initramfs)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("a rebuilt initramfs differs: %v", err)
	}
	if a.Initramfs == c.Initramfs {
		t.Error("both VMMs share an initramfs")
	}
	if _, err := s.Boot("", "bochs", 1); !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("unknown VMM: %v", err)
	}
	s.guest = func(string) ([]byte, error) { return nil, errors.ErrUnsupported }
	if _, err := s.Boot("", Adapter, 1); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("without a guest binary: %v", err)
	}
}

func TestInstallRefuses(t *testing.T) {
	for name, change := range map[string]func(*parts){
		"no image":          func(p *parts) { p.vmlinuz = nil },
		"no builtin list":   func(p *parts) { p.builtin = nil },
		"no ext4":           func(p *parts) { p.builtin = map[string]bool{} },
		"no virtio_blk":     func(p *parts) { delete(p.modules, "virtio_blk") },
		"other release":     func(p *parts) { p.release = "9.9" },
		"damaged module":    func(p *parts) { p.modules["virtio"] = []byte("junk") },
		"dependency cycle":  func(p *parts) { p.modules["virtio"] = moduleELF("depends=virtio_ring", "vermagic=6.1 x") },
		"dependency absent": func(p *parts) { delete(p.modules, "virtio_ring") },
		"bad release": func(p *parts) {
			*p = *fakeParts("a/b")
		},
	} {
		p := fakeParts("6.1")
		change(p)
		s := newStore(t)
		if _, err := s.install(t.Context(), p, nil); !errors.Is(err, driver.ErrInvalid) || driver.Next(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
		if list, _ := s.List(); len(list) > 0 {
			t.Errorf("%s: installed all the same", name)
		}
	}
}

// A kernel that was installed before its modules for quotas counted gets them when it is installed again, and no guest
// loads them unasked.
func TestInstallAddsModulesForQuotas(t *testing.T) {
	s := newStore(t)
	if _, err := s.install(t.Context(), fakeParts("6.1"), nil); err != nil {
		t.Fatal(err)
	}
	before, err := s.Boot("", Adapter, 1)
	if err != nil {
		t.Fatal(err)
	}
	p := fakeParts("6.1")
	p.modules["quota_tree"] = moduleELF("depends=", "vermagic=6.1 SMP")
	p.modules["quota_v2"] = moduleELF("depends=quota_tree", "vermagic=6.1 SMP")
	for range 2 {
		if _, err := s.install(t.Context(), p, nil); err != nil {
			t.Fatal(err)
		}
	}
	after, err := s.Boot("", Adapter, 1)
	if err != nil {
		t.Fatal(err)
	}
	if names := cpioNames(t, before.Initramfs); slices.Contains(names, "modules/quota_v2.ko") {
		t.Errorf("before: %q", names)
	}
	if names := cpioNames(t, after.Initramfs); !slices.Contains(names, "modules/quota_v2.ko") || !slices.Contains(names, "modules/quota_tree.ko") {
		t.Errorf("after: %q", names)
	}
	data, err := os.ReadFile(after.Initramfs)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(data, []byte("/modules/quota_tree.ko\n/modules/quota_v2.ko\n")); n != 1 {
		t.Errorf("they are in %d lists", n)
	}
}

func TestCompareVersions(t *testing.T) {
	ordered := []string{"5.10.0-9", "6.1", "6.1.0-9-cloud-amd64", "6.1.0-56-cloud-amd64", "6.12.3", "6.12.117+deb13-cloud-amd64"}
	for i, a := range ordered {
		for j, b := range ordered {
			if got, want := compareVersions(a, b), cmp.Compare(i, j); got != want {
				t.Errorf("%s and %s: %d, want %d", a, b, got, want)
			}
		}
	}
}
