package testscripts

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// BenchmarkStart starts one workspace by the older program and one by this, in turns: what came since then may cost no
// start of who does not use it. The medians, and that of the ratio.
func BenchmarkStart(b *testing.B) {
	if !hasHistory() {
		b.Skip("no history to build " + older + " from: git fetch --unshallow")
	}
	dir := b.TempDir()
	image := filepath.Join(dir, "image.tar")
	if out, err := exec.Command("mkimage", image).CombinedOutput(); err != nil {
		b.Fatalf("mkimage: %v\n%s", err, out)
	}
	programs := []*benched{{b, "older", filepath.Join(dir, "older")}, {b, "newer", filepath.Join(dir, "newer")}}
	if err := makeOlder(filepath.Join(dir, "tree"), programs[0].path); err != nil {
		b.Fatal(err)
	}
	if err := makeProgram("..", programs[1].path); err != nil {
		b.Fatal(err)
	}
	install := []string{"kernel", "install"}
	if deb := os.Getenv("MICROAGENT_TEST_KERNEL_DEB"); deb != "" {
		install = append(install, "--deb", deb)
	}
	for _, p := range programs {
		p.run(install...)
		p.run("create", "one", "--image", "oci-archive:"+image, "--memory", "128MiB", "--disk-size", "64MiB")
		b.Cleanup(func() { p.run("delete", "one", "--yes") })
	}
	took := map[string][]float64{}
	for b.Loop() {
		for _, p := range programs {
			took[p.name] = append(took[p.name], p.run("start", "one"))
			p.run("halt", "--force", "one")
		}
	}
	for i, t := range took["newer"] {
		took["newer/older"] = append(took["newer/older"], t/took["older"][i])
	}
	for name, list := range took {
		slices.Sort(list)
		b.ReportMetric(list[len(list)/2], name)
	}
	b.ReportMetric(0, "ns/op") // of both together, which says nothing
}

// benched is a program with a state directory of its own.
type benched struct {
	b          *testing.B
	name, path string
}

// run gives the time that a command took, in milliseconds.
func (p *benched) run(args ...string) float64 {
	p.b.Helper()
	cmd := exec.Command(p.path, args...)
	cmd.Env = append(os.Environ(), "MICROAGENT_STATE_DIR="+p.path+"-state")
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		p.b.Fatalf("%s %v: %v\n%s", p.name, args, err, out)
	}
	return time.Since(began).Seconds() * 1000
}
