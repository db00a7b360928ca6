package testscripts

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// BenchmarkChain applies a chain of five tasks that take turns with a volume, and starts each of the five by hand and
// waits for its end, in turns: the order may cost little. The older program, see BenchmarkBoot, starts five of its own by
// hand in the same turns, which have a volume each: it knows no turns. The medians in milliseconds, and those of the ratios.
func BenchmarkChain(b *testing.B) {
	const tasks = 5
	dir := b.TempDir()
	p := &benched{b, "chain", filepath.Join(dir, "microagent")}
	image := filepath.Join(dir, "image.tar")
	if out, err := exec.Command("mkimage", image).CombinedOutput(); err != nil {
		b.Fatalf("mkimage: %v\n%s", err, out)
	}
	if err := makeProgram("..", p.path); err != nil {
		b.Fatal(err)
	}
	programs := []*benched{p}
	older := olderProgram(b, dir)
	if older != nil {
		programs = append(programs, older)
	}
	name := func(i int) string { return fmt.Sprintf("chain.t%d", i) }
	for _, of := range programs {
		if err := placeKernel(of.path + "-state"); err != nil {
			b.Fatal(err)
		}
		file := chainFile(b, dir, of.name, tasks, of == p)
		of.run("-f", file, "apply", "--yes")
		b.Cleanup(func() { of.run("-f", file, "destroy", "--yes") })
		for i := range tasks {
			of.run("wait", name(i))
		}
	}
	byHand := func(of *benched) func() float64 {
		return func() (sum float64) {
			for i := range tasks {
				sum += of.run("start", name(i)) + of.run("wait", name(i))
			}
			return sum
		}
	}
	t := &inTurns{b: b, took: map[string][]float64{}}
	for b.Loop() {
		t.measure("sum", byHand(p))
		t.beside("chain", "sum", func() float64 {
			return p.run("-f", filepath.Join(dir, p.name+".yaml"), "apply", "--yes", "--rerun", "t0")
		})
		if older != nil {
			t.measure("older-sum", byHand(older))
			t.ratio("chain", "older-sum")
		}
	}
	t.report()
}

// chainFile writes the manifest of a chain of tasks, or, for a program that knows neither order nor turns, of tasks that have
// a volume each.
func chainFile(b *testing.B, dir, name string, tasks int, ordered bool) string {
	b.Helper()
	var volumes, workspaces strings.Builder
	for i := range tasks {
		volume := "work"
		if !ordered {
			volume = fmt.Sprintf("work%d", i)
		}
		if i == 0 || !ordered {
			fmt.Fprintf(&volumes, "  %s: {size: 32MiB}\n", volume)
		}
		fmt.Fprintf(&workspaces, `  t%d:
    image: oci-archive:./image.tar
    memory: 128MiB
    disk: 64MiB
    mounts: {/work: {volume: %s}}
    task: [sh, -c, "echo %d >> /work/log"]
`, i, volume, i)
		if ordered && i > 0 {
			fmt.Fprintf(&workspaces, "    after: {t%d: completed}\n", i-1)
		}
	}
	file := filepath.Join(dir, name+".yaml")
	text := "project: chain\nvolumes:\n" + volumes.String() + "workspaces:\n" + workspaces.String()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
	return file
}
