package testscripts

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cavaliergopher/cpio"
)

// BenchmarkBoot measures, in turns, what a run and a start cost beside bare QEMU, which boots the same kernel with the same
// flags and firmware and an init that powers off, from spawn to exit, and beside the older program: MICROAGENT_OLDER names
// it, or else it is built. The medians in milliseconds, and those of the ratios to bare and to the older one in the same
// round. -benchtime 9x for nine rounds.
func BenchmarkBoot(b *testing.B) {
	dir := b.TempDir()
	image := "oci-archive:" + filepath.Join(dir, "image.tar")
	if out, err := exec.Command("mkimage", filepath.Join(dir, "image.tar")).CombinedOutput(); err != nil {
		b.Fatalf("mkimage: %v\n%s", err, out)
	}
	newer, booted := &benched{b, "newer", filepath.Join(dir, "newer")}, &benched{b, "booted", filepath.Join(dir, "booted")}
	if err := makeProgram("..", newer.path); err != nil {
		b.Fatal(err)
	}
	if err := os.Link(newer.path, booted.path); err != nil {
		b.Fatal(err)
	}
	programs := []*benched{newer, booted}
	older := olderProgram(b, dir)
	if older != nil {
		programs = append(programs, older)
	}
	for _, p := range programs {
		if err := placeKernel(p.path + "-state"); err != nil {
			b.Fatal(err)
		}
		p.run("version")
		if p == booted { // where no template can lie every guest boots
			if err := os.WriteFile(p.path+"-state/templates", nil, 0o600); err != nil {
				b.Fatal(err)
			}
		}
		p.run("create", "one", "--image", image)
		p.run("run", image, "true") // what is made once: the initramfs, the image's disk, the template
		for _, name := range []string{"a", "b", "c", "d"} {
			p.run("volume", "create", name, "--size", "16MiB")
		}
		b.Cleanup(func() { p.run("delete", "one", "--yes") })
	}
	booted.run("start", "one")
	bare := bareQEMU(b, dir, booted.path+"-state")
	booted.run("halt", "one")
	began := func(p *benched) func() float64 {
		return func() float64 { return p.run("start", "one") + p.run("exec", "one", "--", "true") }
	}
	halt := func(p *benched) { p.run("halt", "--force", "one") }
	disks := []string{"-v", "a:/a", "-v", "b:/b", "-v", "c:/c", "-v", "d:/d"}
	run := func(p *benched, disks ...string) func() float64 {
		line := append(append([]string{"run"}, disks...), image, "true")
		return func() float64 { return p.run(line...) }
	}
	t := &inTurns{b: b, took: map[string][]float64{}}
	for b.Loop() {
		t.measure("bare", func() float64 { return timed(b, exec.Command(bare[0], bare[1:]...)) })
		t.beside("boot", "bare", run(booted))
		t.beside("boot-1-disk", "bare", run(booted, disks[:2]...))
		t.beside("boot-4-disks", "bare", run(booted, disks...))
		t.beside("run", "bare", run(newer))
		t.beside("run-1-disk", "bare", run(newer, disks[:2]...))
		t.beside("run-4-disks", "bare", run(newer, disks...))
		t.beside("boot-start-exec", "bare", began(booted))
		halt(booted)
		t.beside("start-exec", "bare", began(newer))
		if older == nil {
			halt(newer)
			continue
		}
		t.measure("older", run(older))
		t.ratio("boot", "older")
		t.ratio("run", "older")
		t.measure("older-start-exec", began(older))
		t.ratio("start-exec", "older-start-exec")
		t.measure("older-anew", func() float64 {
			return older.run("delete", "one", "--yes") + older.run("create", "one", "--image", image) + older.run("start", "one")
		})
		t.beside("reset", "older-anew", func() float64 { return newer.run("reset", "one", "--yes") })
		halt(newer)
		halt(older)
	}
	t.report()
}

// olderProgram is the program that is compared with, nil where there is none.
func olderProgram(b *testing.B, dir string) *benched {
	p := &benched{b, "older", filepath.Join(dir, "older")}
	if given := os.Getenv("MICROAGENT_OLDER"); given != "" {
		if err := os.Symlink(given, p.path); err != nil {
			b.Fatal(err)
		}
		return p
	}
	if !hasHistory() {
		b.Log("no history to build " + older + " from, and MICROAGENT_OLDER names no program")
		return nil
	}
	if err := makeOlder(filepath.Join(dir, "tree"), p.path); err != nil {
		b.Fatal(err)
	}
	return p
}

// timed runs a command that must succeed, and gives the milliseconds that it took.
func timed(b *testing.B, cmd *exec.Cmd) float64 {
	b.Helper()
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	return time.Since(began).Seconds() * 1000
}

// inTurns has what was measured in each round, by name.
type inTurns struct {
	b    *testing.B
	took map[string][]float64
}

func (t *inTurns) measure(name string, do func() float64) { t.took[name] = append(t.took[name], do()) }

// beside measures, with the ratio to what other took in this round.
func (t *inTurns) beside(name, other string, do func() float64) {
	t.measure(name, do)
	t.ratio(name, other)
}

func (t *inTurns) ratio(name, other string) {
	a, b := t.took[name], t.took[other]
	t.took[name+"/"+other] = append(t.took[name+"/"+other], a[len(a)-1]/b[len(b)-1])
}

func (t *inTurns) report() {
	for name, list := range t.took {
		slices.Sort(list)
		unit := name
		if !strings.Contains(name, "/") {
			unit += "-ms"
		}
		t.b.ReportMetric(list[len(list)/2], unit)
	}
	t.b.ReportMetric(0, "ns/op") // of all together, which says nothing
}

// bareQEMU is the command line of the QEMU that runs workspace one of a state directory, without channels and disks, and
// with an init that powers off.
func bareQEMU(b *testing.B, dir, state string) []string {
	b.Helper()
	folder, pid, argv := findQEMU(b, state)
	initramfs := filepath.Join(dir, "bare.cpio")
	if err := os.WriteFile(initramfs, bareInitramfs(b), 0o600); err != nil {
		b.Fatal(err)
	}
	bare := []string{argv[0]}
	for i := 1; i < len(argv); i++ {
		name := argv[i]
		if name == "-no-user-config" || name == "-nodefaults" {
			bare = append(bare, name)
			continue
		}
		i++
		value := argv[i]
		switch {
		case slices.Contains([]string{"-chardev", "-mon", "-add-fd", "-blockdev"}, name):
			continue
		case name == "-device" && (strings.HasPrefix(value, "virtserialport") || strings.HasPrefix(value, "virtio-blk")):
			continue
		case name == "-serial":
			value = "null"
		case name == "-initrd":
			value = initramfs
		case name == "-kernel":
			link, err := os.Readlink(strings.Replace(value, "self", filepath.Base(pid), 1))
			if err != nil {
				b.Fatalf("the kernel of %s: %v", folder, err)
			}
			value = link
		}
		bare = append(bare, name, value)
	}
	return bare
}

// findQEMU gives the process that has the root file system of workspace one, and its arguments.
func findQEMU(b *testing.B, state string) (root, pid string, argv []string) {
	b.Helper()
	root = filepath.Join(state, "workspaces/one/rootfs.ext4")
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, pid := range processes {
		text, _ := os.ReadFile(filepath.Join(pid, "cmdline"))
		argv := strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
		if !strings.HasPrefix(filepath.Base(argv[0]), "qemu-system-") {
			continue
		}
		files, _ := filepath.Glob(filepath.Join(pid, "fd/*"))
		for _, file := range files {
			if link, err := os.Readlink(file); err == nil && link == root {
				return root, pid, argv
			}
		}
	}
	b.Skip("no QEMU runs " + root + ": what is measured is the adapter's")
	return "", "", nil
}

// bareInitramfs holds a program for amd64 that calls reboot(2) with LINUX_REBOOT_CMD_POWER_OFF.
func bareInitramfs(b *testing.B) []byte {
	b.Helper()
	code := []byte{
		0xb8, 0xa9, 0, 0, 0, // mov eax, 169
		0xbf, 0xad, 0xde, 0xe1, 0xfe, // mov edi, 0xfee1dead
		0xbe, 0x69, 0x19, 0x12, 0x28, // mov esi, 672274793
		0xba, 0xdc, 0xfe, 0x21, 0x43, // mov edx, 0x4321fedc
		0x0f, 0x05, // syscall
		0xeb, 0xfe, // jmp to itself
	}
	const at, headers = 0x400000, 64 + 56
	size := byte(headers + len(code))
	program := append([]byte{
		0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, // 64 bits, little endian
		2, 0, 62, 0, 1, 0, 0, 0, // executable, x86-64
		headers, 0, at >> 16, 0, 0, 0, 0, 0, // entry
		64, 0, 0, 0, 0, 0, 0, 0, // program headers
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0,
		1, 0, 0, 0, 5, 0, 0, 0, // load, readable and executable
		0, 0, 0, 0, 0, 0, 0, 0,
		0, 0, at >> 16, 0, 0, 0, 0, 0,
		0, 0, at >> 16, 0, 0, 0, 0, 0,
		size, 0, 0, 0, 0, 0, 0, 0,
		size, 0, 0, 0, 0, 0, 0, 0,
		0, 0x10, 0, 0, 0, 0, 0, 0,
	}, code...)
	var out bytes.Buffer
	w := cpio.NewWriter(&out)
	err := w.WriteHeader(&cpio.Header{Name: "init", Mode: cpio.TypeReg | 0o755, Size: int64(len(program)), Links: 1, Inode: 1})
	if err == nil {
		_, err = w.Write(program)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		b.Fatal(err)
	}
	return out.Bytes()
}
