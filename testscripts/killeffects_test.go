package testscripts

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"microagent/runtime/lease"
	"microagent/runtime/supervise/control"
	"microagent/testscripts/lane"
)

// killeffects WHO NAME PREPARE AFTER COMMAND...: runs the shell line PREPARE and then the command, and kills it, where WHO is
// command, or the supervisor of the workspace NAME, where WHO is supervisor, with SIGKILL just before each of its effects, and
// once behind the last: which there are a run tells in which none is killed before. A sample is of what it asks somebody else for, so
// that some of these are not done yet in one case, and done in the next. A supervisor's end leaves no process and no lease. The shell
// line AFTER must succeed each time.
func killeffects(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 5, "killeffects WHO NAME PREPARE AFTER COMMAND...")
	k := killer{ts: ts, supervisor: args[0] == "supervisor", name: args[1], line: args[4:]}
	pass := func(before string) {
		run(ts, "sh", "-c", args[2])
		k.pass(before)
		if err := ts.Exec("sh", "-c", args[3]); err != nil {
			ts.Fatalf("killed before %q: after it: %v", before, err)
		}
	}
	pass("")
	all := k.seen
	ts.Logf("effects: %q", all)
	if len(all) < 10 {
		ts.Fatalf("there are only %d", len(all))
	}
	tried := all
	if !lane.All() {
		tried = slices.DeleteFunc(slices.Clone(all), func(e string) bool { return !strings.HasPrefix(e, "ask ") })
	}
	for _, i := range lane.Steps(4, len(tried)) {
		pass(tried[i])
	}
	for _, e := range all {
		if call, ok := strings.CutPrefix(e, "ask supervisor: "); ok {
			call, _, _ = strings.Cut(call, " #")
			ts.Setenv(killedCalls, ts.Getenv(killedCalls)+" "+call)
		}
	}
}

// killedCalls names the variable with the calls of a supervisor whose clients killeffects has killed.
const killedCalls = "KILLED_CALLS"

type killer struct {
	ts         *testscript.TestScript
	supervisor bool
	name       string
	line       []string
	seen       []string // effects, each with how often it was there
}

// pass runs the command once, and kills it or the supervisor before an effect; "" and one that does not come is for the end.
func (k *killer) pass(before string) {
	count, at := map[string]int{}, ""
	k.seen = nil
	kill := func(c call) bool {
		e := effect(c)
		if e == "" {
			return false
		}
		count[e]++
		e = fmt.Sprintf("%s #%d", e, count[e])
		k.seen = append(k.seen, e)
		if e == before {
			at = e
		}
		return e == before
	}
	if k.supervisor {
		k.killSupervisor(kill)
	} else if code, text := traceCommand(k.ts, k.line, kill); at == "" && code != 0 {
		k.ts.Fatalf("%s: it ended with %d: %s", k.line[0], code, text)
	}
	if at == "" {
		at = "nothing"
	}
	k.ts.Logf("killed before %s of %d effects", at, len(k.seen))
}

// killSupervisor runs the command, which has to end, whatever becomes of the supervisor meanwhile.
func (k *killer) killSupervisor(kill func(call) bool) {
	pid, folder := runPID(k.ts, k.name)
	all := below(folder)
	var said bytes.Buffer
	cmd := exec.Command(k.line[0], k.line[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = k.ts.MkAbs("."), &said, &said
	cmd.Env = append(os.Environ(), "MICROAGENT_STATE_DIR="+k.ts.Getenv("STATE"), "HOME="+k.ts.Getenv("HOME"))
	begun, ended, killed := make(chan struct{}), make(chan error, 1), false
	go func() {
		<-begun
		late := time.AfterFunc(2*time.Minute, func() { _ = cmd.Process.Kill() })
		err := cmd.Run()
		if !late.Stop() {
			err = fmt.Errorf("it does not end: %w", err)
		}
		ended <- err
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}()
	traceProcess(k.ts, pid, func() { close(begun) }, func(c call) bool { killed = killed || kill(c); return killed })
	err := <-ended
	k.ts.Logf("%s", said.String())
	if !killed && err != nil || err != nil && cmd.ProcessState.ExitCode() < 0 {
		k.ts.Fatalf("%s: %v", strings.Join(k.line, " "), err)
	}
	state := k.ts.Getenv("STATE")
	if left := remaining(state); len(left) > 0 {
		k.ts.Fatalf("left running: %v", left)
	}
	for pid := range all { // one that is in no folder any more may have a thread that has its files
		gone(k.ts, pid)
	}
	for _, pattern := range []string{state + "/volumes/*.ext4", state + "/workspaces/*/rootfs.ext4", k.ts.MkAbs("*.ext4")} {
		disks, err := filepath.Glob(pattern)
		k.ts.Check(err)
		for _, disk := range disks {
			l, err := lease.Acquire(disk, lease.Exclusive)
			k.ts.Check(err)
			l.Close()
		}
	}
}

// uninjected are the calls of a supervisor of which killeffects needs no case, and why.
var uninjected = map[string][]string{
	"it changes nothing":                                   {"Status", "Wait", "Ready", "Logs", "Ping", "Fetch", "Stat", "Stats"},
	"what it changes is the guest's":                       {"Exec", "Put", "Sync", "Trim"},
	"it ends the run: turns_killed":                        {"Halt", "Kill"},
	"a job: TestAJobIsToldOfAtEveryStep and jobs_killed":   {"StartJob", "WaitJob", "StopJob"},
	"it lasts as long as its client: ports, volume_frozen": {"Forward", "Freeze"},
}

var upper = regexp.MustCompile(`([a-z])([A-Z])`)

// allcallskilled: each call by which a supervisor changes what its guest has was among the effects of a command that killeffects
// has killed before each of them.
func allcallskilled(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 0, "allcallskilled")
	none := slices.Concat(slices.Collect(maps.Values(uninjected))...)
	if can, err := resizes(); err != nil || !can { // then it restarts instead
		none = append(none, "ResizeVM")
	}
	killed := strings.Fields(ts.Getenv(killedCalls))
	service := reflect.TypeFor[control.Service]()
	for i := range service.NumMethod() {
		name := service.Method(i).Name
		call := strings.ToLower(upper.ReplaceAllString(name, "${1}_$2"))
		if !slices.Contains(killed, call) && !slices.Contains(none, name) {
			ts.Fatalf("no case of %s was killed, and nothing says why none is needed", name)
		}
	}
}
