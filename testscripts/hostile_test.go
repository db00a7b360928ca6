package testscripts

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"microagent/testscripts/lane"
)

// TestHostile boots guests whose init is testscripts/hostileguest, and looks at what each of its kinds does to the
// commands, and at what they cost. Kinds that differ from another in little run with TESTS=all alone.
func TestHostile(t *testing.T) {
	lane.Guest(t)
	payload := hostilePayload(t)
	for _, kind := range []struct {
		name string
		all  bool // with TESTS=all alone
		run  func(l *siege)
	}{
		{"hello", false, func(l *siege) { interrupted(l); startThenHalt(l) }},
		{"mute", true, startThenHalt},
		{"preamble", true, startThenHalt},
		{"syn", false, startThenHalt},
		{"pings", true, startThenHalt},
		{"bodies", true, startThenHalt},
		{"configure", false, startThenHalt},
		{"version", true, startFails},
		{"refuse", false, startFails},
		{"reset", false, startFails},
		{"reset-ready", false, dies},
		{"length", false, silent},
		{"answers", false, floods},
		{"calls", true, floods},
		{"names", false, goesOn},
		{"console", false, floods},
		{"end", false, ends},
		{"output", true, output},
		{"files", false, files},
		{"collect", false, collect},
		{"noise", false, noise},
		{"dribble", false, dribble},
		{"endless", true, endless},
	} {
		t.Run(kind.name, func(t *testing.T) {
			if kind.all && !lane.All() {
				t.Skip("with TESTS=all alone")
			}
			t.Parallel()
			kind.run(besiege(t, payload, kind.name))
		})
	}
}

// atIt is what a guest says on its console when it has flooded for a while, or came to what it does not answer.
const atIt = "hostile: at it"

// startThenHalt is of a guest that never comes up: start goes on until it is told to stop, and so does halt.
func startThenHalt(l *siege) {
	l.create()
	wait := l.background("1", "start", "one")
	<-l.hears("one", atIt)
	l.run("0", "halt", "one", "--grace", "1s")
	wait()
	wait = l.background("1", "start", "one")
	<-l.hears("one", atIt)
	l.gone("one")
	wait()
}

// interrupted is startThenHalt by ^C.
func interrupted(l *siege) {
	l.create()
	l.interrupt("130", moment{name: "one", text: atIt}, "start", "one")
	l.end()
}

// startFails is of a guest that can't be started.
func startFails(l *siege) {
	l.create()
	l.run("1", "start", "one")
	l.run("0", "logs", "--console", "one")
	l.run("0", "status", "one")
	l.end()
}

// dies is of a guest that is ready, and then resets each time that it is.
func dies(l *siege) {
	l.create()
	l.run("0 1", "start", "one")
	l.run("125", "wait", "one")
	l.run("0", "status", "one")
	l.end()
}

// silent is of a guest that comes up and answers no call after that.
func silent(l *siege) {
	l.create()
	l.run("0", "start", "one")
	l.interrupt("130", moment{name: "one", text: "asked for stdout 1"}, "exec", "one", "--", "true")
	l.run("0", "logs", "--console", "one")
	l.run("0", "status", "one")
	l.end()
}

// goesOn is of a guest that does what it is told, with noise.
func goesOn(l *siege) {
	l.create()
	l.run("0", "start", "one")
	l.works()
	l.end()
}

// floods is goesOn of a guest that floods.
func floods(l *siege) {
	l.create()
	l.run("0", "start", "one")
	<-l.hears("one", atIt)
	l.works()
	l.end()
}

// works is what a guest can be asked.
func (l *siege) works() {
	l.t.Helper()
	l.run("3", "exec", "one", "--", "sh", "-c", "exit 3")
	l.run("0", "cp", "one:/etc/passwd", "passwd")
	l.run("0", "logs", "--console", "one")
	l.run("0", "status", "one")
	l.run("0", "status", "one", "--json")
}

// ends is of a guest that answers until it is to end.
func ends(l *siege) {
	l.create()
	l.run("0", "start", "one")
	l.interrupt("130", moment{name: "one", text: "asked for stdout 1"}, "exec", "one", "--", "true")
	l.run("0", "cp", "one:/etc/passwd", "passwd")
	l.end()
	// by force, and as it runs
	l.create()
	l.run("0", "start", "one")
	l.run("0", "halt", "--force", "one")
	l.run("0", "start", "one")
	l.gone("one")
}

// output is of a guest whose processes write what is no output.
func output(l *siege) {
	l.create()
	l.run("0", "start", "one")
	l.run("125", "exec", "one", "--", "echo", "x")
	l.end()
}

// odd are trees that have an end, and of which some may arrive in part.
var odd = []string{"links", "up", "absolute", "through", "twice", "device", "git", "hard", "setuid", "names", "deep", "cut", "pax", "tail", "frame", "refuse"}

// files is of a guest that lies about files, and about the ends of processes.
func files(l *siege) {
	l.create()
	l.run("0", "start", "one")
	for _, name := range odd {
		l.run("0 1 5", "cp", "-r", "one:/evil/"+name, "got-"+name)
	}
	l.run("1", "cp", "-r", "one:/evil/stat", "got-stat")
	l.run("1", "cp", "passwd", "one:/evil/refuse/passwd")
	for _, name := range []string{"never", "silent", "dribble", "endless"} {
		l.interrupt("130", moment{name: "one", text: "asked for " + name + " 1"}, "cp", "-r", "one:/evil/"+name, "got-"+name)
	}
	l.run("255", "exec", "one", "--", "evil", "lie")
	l.run("125", "exec", "one", "--", "evil", "refuse")
	job := l.job("--output", "device=/evil/device:./got-job", "--output", "cut=/evil/cut:./got-cut-job", "one", "--", "evil", "lie")
	l.run("255", "wait", "--job", job, "one")
	l.run("1", "exec", "-d", "one", "--", "evil", "refuse")
	l.run("0", "list", "--jobs")
	l.interrupt("130", moment{bytes: 8 << 20}, "exec", "one", "--", "yes", "forged")
	if err := os.RemoveAll(filepath.Join(l.dir, "got-git")); err != nil { // a copy brings what it is told to
		l.t.Error(err)
	}
	l.safe()
	l.end()
}

// collect is of a task whose outputs are odd trees.
func collect(l *siege) {
	l.manifest("[\"true\"]", odd...)
	l.run("3", "apply", "--yes")
	l.run("0", "output", "list", "siege.job")
	for _, name := range odd {
		l.run("0 1", "output", "get", "siege.job", name, "got-"+name)
	}
	l.run("0", "logs", "siege.job")
	l.run("0", "status", "siege.job")
	l.safe()
	l.gone("siege.job")
}

// noise is of a task that writes without end; its guest is as it should be.
func noise(l *siege) {
	l.most = mostLogs + mostJobLog
	l.manifest(`[sh, -c, "yes forged & cat /dev/zero >&2"]`, "git")
	apply := l.background("3", "apply", "--yes")
	l.ready("siege.job")
	l.interrupt("130", moment{bytes: int64(lane.Count(24, 200)) << 20}, "logs", "-f", "--stdout", "siege.job")
	l.run("0", "logs", "--tail", "2", "--stdout", "siege.job")
	l.run("0", "status", "siege.job")
	job := l.job("siege.job", "--", "yes", "forged")
	l.interrupt("130", moment{bytes: int64(lane.Count(24, 200)) << 20}, "logs", "-f", "--job", job, "siege.job")
	l.run("0", "logs", "--tail", "2", "--job", job, "siege.job")
	l.run("0", "halt", "siege.job", "--grace", "1s")
	apply()
	l.gone("siege.job")
}

// dribble is of an output that comes a byte a second: while its task runs, and at the task's end.
func dribble(l *siege) {
	l.manifest("[sh, -c, \"until [ -e /go ]; do sleep 0.1; done\"]", "dribble")
	for n, stop := range [][]string{{"halt", "--grace", "1s", "siege.job"}, {"halt", "--force", "siege.job"}, {"delete", "--yes", "siege.job"}} {
		apply := l.background("3", "apply", "--yes")
		l.ready("siege.job")
		l.interrupt("130", moment{name: "siege.job", text: "asked for dribble 1"}, "output", "get", "siege.job", "dribble", "got")
		l.run("0", "exec", "siege.job", "--", "touch", "/go")
		<-l.hears("siege.job", "asked for dribble 2")
		l.run("0", stop...)
		apply()
		l.safe()
		if n == 0 {
			l.run("0", "status", "siege.job")
		}
		if stop[0] != "delete" {
			l.gone("siege.job")
		}
	}
}

// endless are trees that only the bounds end.
func endless(l *siege) {
	l.create()
	l.run("0", "start", "one")
	for _, name := range []string{"bytes", "endless"} {
		l.run("5", "cp", "-r", "one:/evil/"+name, "got-"+name)
	}
	// Two million files take their time: a user may end that.
	l.interrupt("130", moment{name: "one", text: "asked for entries 1"}, "cp", "-r", "one:/evil/entries", "got-entries")
	l.safe()
	l.end()
}

// job begins a job and gives its id.
func (l *siege) job(args ...string) string {
	l.t.Helper()
	return strings.TrimSpace(l.run("0", append([]string{"exec", "-d"}, args...)...).stdout)
}

// manifest declares a task with outputs, each a tree of its name. Its guest boots with its disks, as create says.
func (l *siege) manifest(task string, outputs ...string) {
	l.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "project: siege\nworkspaces:\n  job:\n    image: oci-archive:./hostile.tar\n    memory: 128MiB\n    disk: 32MiB\n    boot: fresh\n    task: %s\noutputs:\n", task)
	for _, name := range outputs {
		fmt.Fprintf(&b, "  %s: {from: job, path: /evil/%s, to: ./out/%s}\n", name, name, name)
	}
	if err := os.WriteFile(filepath.Join(l.dir, "microagent.yaml"), []byte(b.String()), 0o644); err != nil {
		l.t.Fatal(err)
	}
}

// safe looks at what came of trees: nothing is outside of them, and nothing in them is more than a file, a folder or a
// link that stays.
func (l *siege) safe() {
	l.t.Helper()
	for _, path := range []string{"/tmp/escaped", "/escaped", filepath.Join(filepath.Dir(l.dir), "escaped")} {
		if _, err := os.Lstat(path); err == nil {
			l.t.Errorf("%s was written", path)
		}
	}
	_ = filepath.WalkDir(l.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == l.state {
			return fs.SkipDir
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, mode := strings.ToLower(d.Name()), info.Mode()
		top := filepath.Dir(path) == l.dir
		switch {
		case name == "escaped" && top, name == ".git", strings.HasPrefix(d.Name(), ".") && top && d.Name() != ".":
			l.t.Errorf("%s was written", path)
		case mode&(fs.ModeDevice|fs.ModeNamedPipe|fs.ModeSocket|fs.ModeSetuid|fs.ModeSetgid) != 0:
			l.t.Errorf("%s is %v", path, mode)
		case mode&fs.ModeSymlink != 0:
			l.stays(path)
		}
		return nil
	})
}

// stays says of a link that it leads out of the siege's folder.
func (l *siege) stays(path string) {
	l.t.Helper()
	to, err := filepath.EvalSymlinks(path)
	if err == nil && to != l.dir && !strings.HasPrefix(to, l.dir+"/") {
		l.t.Errorf("%s leads to %s", path, to)
	}
}

// ready waits until a workspace can run a process.
func (l *siege) ready(name string) {
	l.t.Helper()
	<-l.hears(name, "hostile: ")
	for !strings.Contains(l.run("0", "status", name, "--json").stdout, "\"running\"") {
		if l.t.Failed() {
			l.t.FailNow()
		}
	}
}
