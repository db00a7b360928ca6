package testscripts

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// BenchmarkBootStages says where the time of a run goes whose guest boots: the host's processes, firmware, kernel, our init and
// its modules, the guest's setting up, the command, the guest's end. It reads the supervisor's log, by the host's clock, and
// the kernel's, which the command writes, by the guest's; what the guest says of its uptime brings the two together. The
// medians in milliseconds and in hundredths of the whole, in their order.
func BenchmarkBootStages(b *testing.B) {
	dir := b.TempDir()
	image := "oci-archive:" + filepath.Join(dir, "image.tar")
	if out, err := exec.Command("mkimage", filepath.Join(dir, "image.tar")).CombinedOutput(); err != nil {
		b.Fatalf("mkimage: %v\n%s", err, out)
	}
	p := &benched{b, "booted", filepath.Join(dir, "booted")}
	if err := makeProgram("..", p.path); err != nil {
		b.Fatal(err)
	}
	if err := placeKernel(p.path + "-state"); err != nil {
		b.Fatal(err)
	}
	p.run("version")
	if err := os.WriteFile(p.path+"-state/templates", nil, 0o600); err != nil { // where none can lie every guest boots
		b.Fatal(err)
	}
	p.run("run", image, "true")
	took := map[string][]float64{}
	for b.Loop() {
		for i, s := range stagesOfRun(b, p, image) {
			name := fmt.Sprintf("%02d-%s", i, s.name)
			took[name] = append(took[name], s.took)
		}
	}
	whole := median(took["00-whole"])
	for name, list := range took {
		b.ReportMetric(median(list), name+"-ms")
		b.ReportMetric(100*median(list)/whole, name+"-%")
	}
	b.ReportMetric(0, "ns/op") // of both clocks together
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

type stage struct {
	name string
	took float64 // milliseconds
}

var (
	supervisorLine = regexp.MustCompile(`^time=(\S+) level=INFO msg=(?:"([^"]*)"|(\S+))(.*)$`)
	kernelLine     = regexp.MustCompile(`^\[ *([0-9.]+)\] (.*)$`)
	uptimeField    = regexp.MustCompile(`uptime=(\S+)`)
)

// stagesOfRun runs a command in a guest that boots, and gives the whole and its parts.
func stagesOfRun(b *testing.B, p *benched, image string) []stage {
	b.Helper()
	cmd := exec.Command(p.path, "run", "--keep", image, "dmesg")
	cmd.Env = append(os.Environ(), "MICROAGENT_STATE_DIR="+p.path+"-state")
	var kernelLog, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &kernelLog, &said
	began := time.Now()
	if err := cmd.Run(); err != nil {
		b.Fatalf("run: %v\n%s", err, said.Bytes())
	}
	ended := time.Now()
	_, name, _ := strings.Cut(strings.TrimSpace(said.String()), "kept: workspace ")
	name, _, _ = strings.Cut(name, "\n")
	log, err := os.ReadFile(filepath.Join(p.path+"-state", "workspaces", name, "supervisor.log"))
	if err != nil {
		b.Fatal(err)
	}
	p.run("delete", name, "--yes")
	host, uptime := map[string]time.Time{}, time.Duration(0)
	for line := range strings.Lines(string(log)) {
		m := supervisorLine.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil {
			continue
		}
		at, err := time.Parse(time.RFC3339Nano, m[1])
		if err != nil {
			b.Fatal(err)
		}
		host[cmp.Or(m[2], m[3])] = at
		if u := uptimeField.FindStringSubmatch(m[4]); u != nil {
			if uptime, err = time.ParseDuration(strings.Trim(u[1], `"`)); err != nil {
				b.Fatal(err)
			}
		}
	}
	guest := map[string]float64{} // seconds
	lines := bufio.NewScanner(&kernelLog)
	for lines.Scan() {
		if m := kernelLine.FindStringSubmatch(lines.Text()); m != nil {
			at, err := strconv.ParseFloat(m[1], 64)
			if err != nil {
				b.Fatal(err)
			}
			guest[m[2]] = at
		}
	}
	marks := []struct {
		name string
		at   time.Time
	}{
		{"", began},
		{"host", host["starts the VMM"]},
		{"vmm", host["booted"]},
		{"firmware", host["guest answers"].Add(-uptime)},
		{"kernel", time.Time{}}, {"go", time.Time{}}, {"modules", time.Time{}},
		{"hello", host["guest answers"]},
		{"configure", host["guest is set up"]},
		{"ready", host["ready"]},
		{"command", host["shuts the guest down"]},
		{"shutdown", host["guest is shut down"]},
		{"poweroff", host["ended"]},
		{"end", ended},
	}
	for i, text := range []string{"Run /init as init process", "microagent: init runs", "microagent: modules loaded"} {
		at, there := guest[text]
		if !there {
			b.Fatalf("the kernel's log lacks %q", text)
		}
		marks[4+i].at = marks[3].at.Add(time.Duration(at * float64(time.Second)))
	}
	stages := []stage{{"whole", ended.Sub(began).Seconds() * 1000}}
	for i, m := range marks[1:] {
		if m.at.IsZero() {
			b.Fatalf("the supervisor's log lacks what ends %q:\n%s", m.name, log)
		}
		stages = append(stages, stage{m.name, m.at.Sub(marks[i].at).Seconds() * 1000})
	}
	return stages
}
