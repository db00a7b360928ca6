package testscripts

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BenchmarkApply applies large manifests by the older program and by this one, one after the other, and plans what is there
// already. CPU seconds of the commands as the kernel counted them, user and system, and their peak of memory: those of
// 2,000 new volumes, of 400 stopped workspaces of one image, and of a plan of 5,000 objects that finds nothing to do.
// It takes some minutes, most of them the older program's, and 3 GiB of disk.
func BenchmarkApply(b *testing.B) {
	if !hasHistory() {
		b.Skip("no history to build " + older + " from: git fetch --unshallow")
	}
	dir := b.TempDir()
	if out, err := exec.Command("mkimage", filepath.Join(dir, "image.tar")).CombinedOutput(); err != nil {
		b.Fatalf("mkimage: %v\n%s", err, out)
	}
	before, now := filepath.Join(dir, "older"), filepath.Join(dir, "newer")
	if err := makeOlder(filepath.Join(dir, "tree"), before); err != nil {
		b.Fatal(err)
	}
	if err := makeProgram("..", now); err != nil {
		b.Fatal(err)
	}
	volumes := func(n int) string {
		return writeManifest(b, dir, fmt.Sprintf("volumes%d", n), "volumes", n, "{size: 16MiB}")
	}
	stopped := writeManifest(b, dir, "stopped", "workspaces", 400,
		"{image: 'oci-archive:./image.tar', memory: 128MiB, disk: 64MiB, desired: stopped}")
	for b.Loop() {
		state := b.TempDir()
		cost := func(program, of, manifest string, args ...string) spent {
			return costOf(b, program, filepath.Join(state, of), append([]string{"-f", manifest}, args...))
		}
		pair := func(name string, older, newer spent) {
			b.ReportMetric(older.cpu, name+"-older-s")
			b.ReportMetric(newer.cpu, name+"-newer-s")
			b.ReportMetric(newer.cpu/older.cpu, name+"-newer/older")
		}
		// The older one first: ext4 looks long for room where files were deleted in the last seconds, as a build does.
		older := cost(before, "b", volumes(2000), "apply", "--yes")
		small := cost(now, "a", volumes(2000), "apply", "--yes")
		pair("2000-volumes", older, small)
		large := cost(now, "c", volumes(5000), "apply", "--yes")
		b.ReportMetric(large.cpu/small.cpu, "5000/2000-volumes")
		pair("400-stopped", cost(before, "d", stopped, "apply", "--yes"), cost(now, "e", stopped, "apply", "--yes"))
		noop := cost(now, "c", volumes(5000), "plan")
		pair("plan-of-5000", cost(before, "c", volumes(5000), "plan"), noop)
		b.ReportMetric(noop.peak, "plan-of-5000-MiB")
	}
	b.ReportMetric(0, "ns/op") // of all together, which says nothing
}

// spent is what a process took: seconds of CPU and MiB at its peak.
type spent struct{ cpu, peak float64 }

func costOf(b *testing.B, program, state string, args []string) spent {
	b.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "MICROAGENT_STATE_DIR="+state)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%s %v: %v\n%s", program, args, err, out[max(0, len(out)-4096):])
	}
	u := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	took := time.Duration(u.Utime.Nano() + u.Stime.Nano())
	return spent{took.Seconds(), float64(u.Maxrss) / 1024}
}

// writeManifest writes one of n like objects.
func writeManifest(b *testing.B, dir, name, section string, n int, object string) string {
	b.Helper()
	var text strings.Builder
	fmt.Fprintf(&text, "project: p\n%s:\n", section)
	for i := range n {
		fmt.Fprintf(&text, "  x%d: %s\n", i, object)
	}
	file := filepath.Join(dir, name+".yaml")
	if err := os.WriteFile(file, []byte(text.String()), 0o644); err != nil {
		b.Fatal(err)
	}
	return file
}
