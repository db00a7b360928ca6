package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// host is what the figures were taken on.
type host struct {
	cpu, kernel, fs string
	mke2fs, tarMke  string
	load            string // before the first row
	taken           time.Time
}

func describeHost(ctx context.Context, o options) host {
	h := host{taken: time.Now(), load: loadOf()}
	first := func(name string, args ...string) string {
		out, _ := exec.CommandContext(ctx, name, args...).CombinedOutput()
		line, _, _ := strings.Cut(string(out), "\n")
		return strings.TrimSpace(line)
	}
	h.kernel = first("uname", "-sr")
	h.cpu = first("sh", "-c", "sed -n 's/^model name[^:]*: //p' /proc/cpuinfo")
	h.fs = first("findmnt", "-nro", "FSTYPE", "-T", o.dir)
	h.mke2fs = first(o.mke2fs, "-V")
	if o.tarMke2fs != "" {
		h.tarMke = first(o.tarMke2fs, "-V")
	}
	return h
}

func loadOf() string {
	data, _ := os.ReadFile("/proc/loadavg")
	return strings.Join(strings.Fields(string(data))[:min(3, len(strings.Fields(string(data))))], " ")
}

func wall(s sample) float64    { return s.wall.Seconds() }
func cpu(s sample) float64     { return s.cpu.Seconds() }
func written(s sample) float64 { return float64(s.written) }
func memory(s sample) float64  { return float64(s.memory) / 1024 }

// verdict says whether a ratio is what is demanded.
func verdict(ratio, bar float64) string {
	switch {
	case bar == 0:
		return ""
	case bar < 0 && 1/ratio >= -bar, bar > 0 && ratio <= bar:
		return "met"
	}
	return "**missed**"
}

func demand(bar float64) string {
	switch {
	case bar == 0:
		return ""
	case bar < 0:
		return fmt.Sprintf("≤ %.2f", -1/bar)
	}
	return fmt.Sprintf("≤ %.2f", bar)
}

// report is all that was measured, in Markdown.
func (b *bench) report() string {
	var s strings.Builder
	fmt.Fprintf(&s, "# Benchmarks\n\nWritten by `testscripts/bench`, which runs microagent and what could be picked instead in one run: after a round that is not\n"+
		"counted, %d rounds, each contestant once in each, in turns. A ratio is ours to theirs in the same round, and the figure is\n"+
		"the median of the rounds; 0.50 is half the time. All of them end with fsync. Empty volumes are less the start of our process. `apply` is the whole command with nothing made before.\n"+
		"CPU is user and system time, which other work on the machine changes least; best is the fastest of ours to the fastest\n"+
		"of theirs. What is demanded is of the wall time. Memory is the largest that ours was, load the average of the minute before.\n\n", b.rounds)
	fmt.Fprintf(&s, "Taken %s on %d CPUs (%s), %s, %s, %s", b.host.taken.UTC().Format("2006-01-02 15:04 UTC"), runtime.NumCPU(), b.host.cpu, b.host.kernel, b.host.fs, b.host.mke2fs)
	if b.host.tarMke != "" {
		fmt.Fprintf(&s, "; from tars: %s", b.host.tarMke)
	}
	fmt.Fprintf(&s, "; hcsshim v0.15.0. Load average before it %s, after it %s", b.host.load, loadOf())
	s.WriteString(".\n\n| work | beside | demanded | median | best | CPU | written | memory, MiB | load |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range b.taken {
		ours := r.samples[0]
		peak := 0.0
		for _, one := range ours {
			peak = max(peak, memory(one))
		}
		load, _, _ := strings.Cut(r.load, " ")
		mem := fmt.Sprintf("%.0f", peak)
		if r.limit > 0 {
			mem += fmt.Sprintf(" (≤ %d: %s)", r.limit/1024, verdict(peak, float64(r.limit)/1024))
		}
		mem += " | " + load
		rivals := len(r.who)
		if r.start {
			rivals--
			ours = without(ours, r.samples[rivals])
		}
		for i := 1; i < rivals; i++ {
			bar := r.who[i].bar
			if r.longest {
				bar = 0
			}
			s.WriteString(line(r.name, r.who[i].name, bar, ours, r.samples[i], mem))
		}
		if r.longest {
			s.WriteString(line(r.name, "the longer of both", r.who[rivals-1].bar, ours, longer(r.samples[1], r.samples[2]), mem))
		}
	}
	for _, f := range b.failed {
		fmt.Fprintf(&s, "\nNot measured: %.300s\n", f)
	}
	return s.String()
}

// line is what came of ours beside one rival.
func line(name, rival string, bar float64, ours, theirs []sample, mem string) string {
	t := ratio(ours, theirs, wall)
	room := ""
	if median(figure(theirs, written)) > 0 {
		room = fmt.Sprintf("%.2f", ratio(ours, theirs, written))
	}
	return fmt.Sprintf("| %s | %s | %s | %.2f %s | %.2f | %.2f | %s | %s |\n",
		name, rival, demand(bar), t, verdict(t, bar), least(ours)/least(theirs), ratio(ours, theirs, cpu), room, mem)
}

// without are the samples less what it takes to start their process.
func without(list, start []sample) (less []sample) {
	w, c := median(figure(start, wall)), median(figure(start, cpu))
	for _, s := range list {
		s.wall = max(s.wall-time.Duration(w*float64(time.Second)), 0)
		s.cpu = max(s.cpu-time.Duration(c*float64(time.Second)), 0)
		less = append(less, s)
	}
	return less
}

// longer are the samples that took longer in each round.
func longer(a, b []sample) (all []sample) {
	for i := range a {
		if a[i].wall > b[i].wall {
			all = append(all, a[i])
		} else {
			all = append(all, b[i])
		}
	}
	return all
}

func least(list []sample) float64 {
	all := figure(list, wall)
	n := all[0]
	for _, v := range all {
		n = min(n, v)
	}
	return n
}
