package testscripts

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// BenchmarkChain applies a chain of five tasks that take turns with a volume, and starts each of the five by hand and
// waits for its end, in turns: the order may cost little. The medians in milliseconds, and that of the ratio.
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
	if err := placeKernel(p.path + "-state"); err != nil {
		b.Fatal(err)
	}
	var manifest strings.Builder
	manifest.WriteString("project: chain\nvolumes: {work: {size: 32MiB}}\nworkspaces:\n")
	for i := range tasks {
		fmt.Fprintf(&manifest, `  t%d:
    image: oci-archive:./image.tar
    memory: 128MiB
    disk: 64MiB
    mounts: {/work: {volume: work}}
    task: [sh, -c, "echo %d >> /work/log"]
`, i, i)
		if i > 0 {
			fmt.Fprintf(&manifest, "    after: {t%d: completed}\n", i-1)
		}
	}
	file := filepath.Join(dir, "microagent.yaml")
	if err := os.WriteFile(file, []byte(manifest.String()), 0o644); err != nil {
		b.Fatal(err)
	}
	p.run("-f", file, "apply", "--yes")
	b.Cleanup(func() { p.run("-f", file, "destroy", "--yes") })
	var chain, sum, ratio []float64
	for b.Loop() {
		whole, parts := p.run("-f", file, "apply", "--yes", "--rerun", "t0"), 0.0
		for i := range tasks {
			name := fmt.Sprintf("chain.t%d", i)
			parts += p.run("start", name) + p.run("wait", name)
		}
		chain, sum, ratio = append(chain, whole), append(sum, parts), append(ratio, whole/parts)
	}
	for name, list := range map[string][]float64{"chain-ms": chain, "sum-ms": sum, "chain/sum": ratio} {
		slices.Sort(list)
		b.ReportMetric(list[len(list)/2], name)
	}
	b.ReportMetric(0, "ns/op") // of both together, which says nothing
}
