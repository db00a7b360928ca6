package kernel

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"microagent/runtime/driver"
)

// splitKernel are the files of a kernel by the package that has them, as Debian splits it since Linux 6.19.
func splitKernel(release string) map[string]map[string][]byte {
	dir := "./usr/lib/modules/" + release + "/"
	elf := kernelELF(18)
	modules := map[string][]byte{}
	for name, data := range fakeParts(release).modules {
		modules[dir+"kernel/drivers/virtio/"+name+".ko"] = data
	}
	return map[string]map[string][]byte{
		"linux-image":   {"./usr/share/doc/linux-image/copyright": []byte("text")},
		"linux-binary":  {dir + "vmlinuz": bzImage(lz4Blocks(elf), len(elf))},
		"linux-modules": modules,
		"linux-base":    {dir + "modules.builtin": []byte("kernel/fs/ext4/ext4.ko\n")},
	}
}

// apt's own tools are stood in for by scripts: one that knows what depends on what, one that copies packages.
func TestAptKernelThatIsSplit(t *testing.T) {
	const release = "7.2.13-cloud-amd64"
	s := newStore(t)
	lists, bin := t.TempDir(), t.TempDir()
	depends := map[string]string{
		"linux-image-cloud-" + s.arch: "linux-image-" + release,
		"linux-image-" + release:      "kmod linux-base linux-binary-" + release + " linux-modules-" + release,
		"linux-binary-" + release:     "linux-modules-" + release,
		"linux-modules-" + release:    "linux-base-" + release,
		"linux-base-" + release:       "linux-image-" + release,
	}
	for name, on := range depends {
		text := name + "\n"
		for _, d := range strings.Fields(on) {
			text += "  Depends: " + d + "\n"
		}
		if err := os.WriteFile(filepath.Join(lists, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, files := range splitKernel(release) {
		if err := os.Rename(deb(t, ".xz", files), filepath.Join(lists, name+"-"+release+".deb")); err != nil {
			t.Fatal(err)
		}
	}
	for tool, script := range map[string]string{
		"apt-cache": `exec cat "` + lists + `/$3"`,
		"apt-get":   `shift 2; for p; do cp "` + lists + `/$p.deb" . || exit 1; done`,
	} {
		if err := os.WriteFile(filepath.Join(bin, tool), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	k, err := s.ImportApt(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Boot(k.ID, CloudHypervisor, 1); err != nil || !strings.Contains(k.ID, release) {
		t.Errorf("%+v, %v", k, err)
	}
}

func TestImageRelease(t *testing.T) {
	for name, want := range map[string]string{
		"/boot/vmlinuz-6.1.0-1": "6.1.0-1", "/usr/lib/modules/7.2.13/vmlinuz": "7.2.13", "/lib/modules/7.3/vmlinuz": "7.3",
		"/usr/lib/modules/7.2.13/kernel/vmlinuz": "", "/usr/lib/modules/vmlinuz": "", "/usr/share/doc/vmlinuz": "",
	} {
		if got, ok := imageRelease(name); ok != (want != "") || ok && got != want {
			t.Errorf("%s: %q, %v", name, got, ok)
		}
	}
}

// A kernel that lacks one of its packages is sent to all of them, whichever it is.
func TestPackagesOfASplitKernelThatLackOne(t *testing.T) {
	packages := splitKernel("7.2.13-cloud-amd64")
	for without := range packages {
		if without == "linux-image" { // it has nothing
			continue
		}
		var files []string
		for name, content := range packages {
			if name != without {
				files = append(files, deb(t, ".xz", content))
			}
		}
		_, err := newStore(t).ImportDeb(t.Context(), files, nil)
		if !errors.Is(err, driver.ErrInvalid) || !strings.Contains(driver.Next(err), "every package that the kernel is split into") {
			t.Errorf("without %s: %v; next: %s", without, err, driver.Next(err))
		}
	}
}
