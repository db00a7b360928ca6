package drivertest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"microagent/runtime/driver"
)

// CopiesUnder is an implementation of driver.Workspaces whose guests can be copies of others, and what a test needs beside it.
type CopiesUnder struct {
	WorkspacesUnder
	// Template is the folder of the template that the last start saved.
	Template func(t *testing.T) string
	// Foreign makes it one of a host that has another of what is named.
	Foreign map[string]func(t *testing.T)
}

// What no template may hold.
const (
	canaryEnvironment = "canary-of-the-environment"
	canaryDisk        = "canary-on-a-disk"
	canaryName        = "canary-of-a-name"
)

// Copies checks what is dangerous in a guest that is a copy of another, each danger by itself: three guests run at once, one
// that was saved and two copies of it. open gives an empty implementation, whose image has a machine-id. The fakes have no guests
// that could be copied.
func Copies(t *testing.T, open func(t *testing.T) CopiesUnder) {
	c := copies{CopiesUnder: open(t), began: map[string]time.Time{}}
	first := c.create(t, canaryName, "echo "+canaryDisk+" > /f; sync; "+newborn)
	c.create(t, "beside", newborn)
	var both sync.WaitGroup
	for _, name := range []string{first, "beside"} {
		both.Go(func() {
			run, err := c.Start(t.Context(), name, driver.StartOptions{})
			if err != nil || run.Boot == nil || !run.Boot.Saved || run.Boot.Template != "" {
				t.Errorf("the first start of two, %s: %+v, %v", name, run.Boot, err)
			}
		})
	}
	both.Wait()
	if t.Failed() {
		return
	}
	c.await(t, first)
	c.stood = max(c.uptime(t, first), c.uptime(t, "beside")) // whichever was saved, not later than this
	_, err := c.Stop(t.Context(), "beside", driver.StopOptions{Force: true})
	must(t, err)
	folder := c.Template(t)
	t.Run("disks", func(t *testing.T) { c.noDisks(t, folder) })
	t.Run("secrets", func(t *testing.T) { c.noSecrets(t, folder) })
	ids := map[string]string{}
	for _, name := range []string{"one", "two"} {
		run := c.start(t, c.create(t, name, newborn))
		if run.Boot == nil || run.Boot.Template == "" {
			t.Fatalf("a second start is no copy: %+v", run.Boot)
		}
		ids[name] = run.Boot.Template
		c.await(t, name)
	}
	if ids["one"] != ids["two"] {
		t.Errorf("copies of %v", ids)
	}
	t.Run("entropy", c.entropy)
	t.Run("wall clock", c.wallClock)
	t.Run("monotonic clock", c.monotonic)
	t.Run("overdue timers", c.timers)
	t.Run("identity", c.identity)
	t.Run("addresses", c.addresses)
	t.Run("streams", c.streams)
	t.Run("disks of a copy", c.ownDisks)
	t.Run("foreign host", c.foreign)
	t.Run("reboot without a template", func(t *testing.T) { c.taken(t, folder) })
}

type copies struct {
	CopiesUnder
	stood float64              // an uptime in seconds that the saved guest did not have before it was saved
	began map[string]time.Time // when copies were about to start
}

// newborn says what the first process of a guest finds that no other may have: the seeds of its random numbers.
const newborn = `for i in 1 2; do head -c 16 /dev/urandom | od -An -v -tx1; cat /proc/sys/kernel/random/uuid; done
while read -r line; do case $line in *"[stack]"*|*"[vdso]"*) echo $line;; esac; done < /proc/self/maps
cat /proc/sys/kernel/random/boot_id
echo up
while :; do sleep 1000; done`

// newbornLines is how many those are.
const newbornLines = 7

func (c copies) create(t *testing.T, name, script string) string {
	t.Helper()
	spec := c.Spec(t, name)
	spec.Process = Shell(driver.ModeService, script)
	spec.Process.Env = map[string]string{"PATH": "/bin:/usr/bin", "SECRET": canaryEnvironment + "-" + name}
	_, err := c.Create(t.Context(), spec, nil)
	must(t, err)
	return name
}

func (c copies) start(t *testing.T, name string) driver.Run {
	t.Helper()
	c.began[name] = time.Now()
	run, err := c.Start(t.Context(), name, driver.StartOptions{})
	must(t, err)
	return run
}

// await waits until a guest's process has said all, and gives that.
func (c copies) await(t *testing.T, name string) []string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	said := &until{line: "up\n", then: cancel}
	if err := c.Logs(ctx, name, driver.LogOptions{Follow: true}, said, said); err != nil && ctx.Err() == nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(said.text.String()), "\n")
	if lines[len(lines)-1] != "up" {
		t.Fatalf("%s said %q", name, lines)
	}
	return lines[:len(lines)-1]
}

// until calls then once it was given a line.
type until struct {
	text bytes.Buffer
	line string
	then func()
}

func (u *until) Write(p []byte) (int, error) {
	u.text.Write(p)
	if strings.Contains(u.text.String(), u.line) {
		u.then()
	}
	return len(p), nil
}

// in gives what a command of a guest's shell says.
func (c copies) in(t *testing.T, name, script string) string {
	t.Helper()
	var out, errs bytes.Buffer
	code, err := c.Exec(t.Context(), name, driver.ExecSpec{Argv: []string{"sh", "-c", script}}, driver.Streams{Stdout: &out, Stderr: &errs})
	must(t, err)
	if code != 0 {
		t.Fatalf("%s in %s: code %d, %s", script, name, code, errs.String())
	}
	return strings.TrimSpace(out.String())
}

func (c copies) noDisks(t *testing.T, folder string) {
	var config struct {
		Disks json.RawMessage `json:"disks"`
	}
	data, err := os.ReadFile(filepath.Join(folder, "config.json"))
	must(t, err)
	must(t, json.Unmarshal(data, &config))
	if got := string(config.Disks); got != "" && got != "null" && got != "[]" {
		t.Errorf("a template has the disks %s", got)
	}
}

func (c copies) noSecrets(t *testing.T, folder string) {
	var seen bool
	must(t, filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		must(t, err)
		if mode := info.Mode().Perm(); mode&0o077 != 0 {
			t.Errorf("others may read %s: %v", path, mode)
		}
		if d.IsDir() {
			return nil
		}
		data, err := os.ReadFile(path)
		must(t, err)
		for _, canary := range []string{canaryEnvironment, canaryDisk, canaryName} {
			if bytes.Contains(data, []byte(canary)) {
				t.Errorf("%s holds %q", path, canary)
			}
		}
		seen = seen || bytes.Contains(data, []byte("microagent: modules loaded"))
		return nil
	}))
	if !seen {
		t.Error("nothing of the guest's memory was read")
	}
}

func (c copies) entropy(t *testing.T) {
	of := map[string]string{}
	for _, name := range []string{canaryName, "one", "two"} {
		lines := c.await(t, name)
		if len(lines) != newbornLines {
			t.Fatalf("%s said %q", name, lines)
		}
		for _, line := range lines {
			if other, ok := of[line]; ok {
				t.Errorf("%s and %s both have %q", other, name, line)
			}
			of[line] = name
		}
	}
}

// identity looks at what a guest is told of itself, and at the machine-id that it gets where its image has one.
func (c copies) identity(t *testing.T) {
	ids := map[string]string{}
	for _, name := range []string{canaryName, "one", "two"} {
		want := fmt.Sprintf("%s %s-%s", name, canaryEnvironment, name)
		if got := c.in(t, name, "echo $(cat /proc/sys/kernel/hostname) $SECRET"); got != want {
			t.Errorf("%s is %q", name, got)
		}
		id := c.in(t, name, "cat /etc/machine-id")
		if other, ok := ids[id]; ok || len(id) != 32 {
			t.Errorf("%s has the machine-id %q, which %s has", name, id, other)
		}
		ids[id] = name
	}
}

// addresses starts two copies that have a network. Its addresses are given to each by its configuration; that of the link is made
// of the kernel's random numbers, and a copy of a guest that had a link would have the same.
func (c copies) addresses(t *testing.T) {
	if links := c.in(t, "one", "echo /sys/class/net/*"); links != "/sys/class/net/lo" {
		t.Errorf("a copy without a network has the interfaces %s", links)
	}
	of := map[string]string{}
	for _, name := range []string{"left", "right"} {
		spec := c.Spec(t, name)
		spec.Network = &driver.Network{}
		_, err := c.Create(t.Context(), spec, nil)
		must(t, err)
		if run := c.start(t, name); run.Boot == nil || run.Boot.Template == "" {
			t.Fatalf("a guest with a network is no copy: %+v", run.Boot)
		}
		var given, own bool
		for line := range strings.Lines(c.in(t, name, "cat /proc/net/if_inet6")) {
			f := strings.Fields(line) // address, index, length of the prefix, scope, flags, name
			if f[len(f)-1] == "lo" {
				continue
			}
			if f[3] != scopeLink {
				given = true
				continue
			}
			if other, ok := of[f[0]]; ok {
				t.Errorf("%s and %s both have the address %s", other, name, f[0])
			}
			of[f[0]], own = name, true
		}
		if !given || !own {
			t.Errorf("%s has addresses by its configuration: %v, of its link: %v", name, given, own)
		}
		_, err = c.Stop(t.Context(), name, driver.StopOptions{Force: true})
		must(t, err)
	}
}

// scopeLink is IPV6_ADDR_LINKLOCAL of the kernel's include/net/ipv6.h, as /proc/net/if_inet6 has it.
const scopeLink = "20"

// streams compares what process 1 has open, in a guest that booted and one that is a copy, and looks for what each writes to its
// console: a copy has one of its own, although the kernel opened it before there was a copy.
func (c copies) streams(t *testing.T) {
	open := func(name string) string { return c.in(t, name, "set -- /proc/1/fd/*; echo $#") }
	if booted, copied := open(canaryName), open("one"); booted != copied {
		t.Errorf("a guest that booted has %s files open, a copy %s", booted, copied)
	}
	for _, name := range []string{canaryName, "one", "two"} {
		c.in(t, name, "echo console of "+name+" > /dev/console")
	}
	for _, name := range []string{canaryName, "one", "two"} {
		ctx, cancel := context.WithTimeout(t.Context(), consoleTime)
		said := &until{line: "console of " + name, then: cancel}
		if err := c.Logs(ctx, name, driver.LogOptions{Stream: "console", Follow: true}, said, said); err != nil && ctx.Err() == nil {
			t.Fatal(err)
		}
		cancel()
		if text := said.text.String(); strings.Count(text, "console of ") != 1 || !strings.Contains(text, said.line) {
			t.Errorf("on the console of %s: %q", name, text)
		}
	}
}

// consoleTime is how long a console may take that never brings what was written to it.
const consoleTime = 30 * time.Second

func (c copies) ownDisks(t *testing.T) {
	for _, name := range []string{"one", "two"} {
		c.in(t, name, "echo "+name+" > /mine; sync")
	}
	for _, name := range []string{"one", "two"} {
		if got := c.in(t, name, "cat /mine"); got != name {
			t.Errorf("%s has the file of %s", name, got)
		}
	}
}

// reboot has a copy boot: then it is as any guest, with its disks.
func (c copies) reboot(t *testing.T) {
	before := c.in(t, "two", "cat /proc/sys/kernel/random/boot_id")
	_, _ = c.Exec(t.Context(), "two", driver.ExecSpec{Argv: []string{"sh", "-c", "reboot -f"}}, driver.Streams{}) // it ends with the guest
	for {
		var out bytes.Buffer
		code, err := c.Exec(t.Context(), "two", driver.ExecSpec{Argv: []string{"sh", "-c", "cat /proc/sys/kernel/random/boot_id /mine"}}, driver.Streams{Stdout: &out})
		if said := strings.Fields(out.String()); err == nil && code == 0 && len(said) == 2 && said[0] != before {
			if said[1] != "two" {
				t.Errorf("after a reboot: %q", said)
			}
			return
		}
		w, err := c.Get(t.Context(), "two")
		must(t, err)
		if !w.Run.Phase.Alive() {
			t.Fatalf("a copy that reboots: %+v", w.Run)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// taken takes all templates away under a copy, which then reads what it did not read before, and boots.
func (c copies) taken(t *testing.T, folder string) {
	must(t, os.RemoveAll(filepath.Dir(folder)))
	c.in(t, "two", "for p in /proc/[0-9]*; do cat $p/maps; done; dmesg; cat /bin/*")
	c.reboot(t)
}

// foreign has the template be of other hosts: a copy would go on with a CPU, or a measure of its clock, that is not there.
func (c copies) foreign(t *testing.T) {
	for what, set := range c.Foreign {
		_, err := c.Stop(t.Context(), "one", driver.StopOptions{Force: true})
		must(t, err)
		set(t)
		run := c.start(t, "one")
		if run.Boot == nil || run.Boot.Template != "" || !run.Boot.Saved || !run.Boot.Refused {
			t.Errorf("a start whose template is of another %s: %+v", what, run.Boot)
		}
	}
	if lines := c.await(t, "one"); !slices.Contains(lines, c.in(t, "one", "cat /proc/sys/kernel/random/boot_id")) {
		t.Errorf("it said %q", lines)
	}
}
