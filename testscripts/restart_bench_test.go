package testscripts

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// BenchmarkRestart measures from the kill of what runs a service until it runs again, by itself, beside a start of it by hand,
// and beside that of the older program, see BenchmarkBoot, which starts none again: in turns, so that each restart is the
// first one, which waits for nothing. vmm is killed on the host; process is that of the service, killed in the guest, whose
// disks come to a clean end first. The medians in milliseconds, and those of the ratios.
func BenchmarkRestart(b *testing.B) {
	dir := b.TempDir()
	image := filepath.Join(dir, "image.tar")
	if out, err := exec.Command("mkimage", image).CombinedOutput(); err != nil {
		b.Fatalf("mkimage: %v\n%s", err, out)
	}
	p := &benched{b, "restarted", filepath.Join(dir, "microagent")}
	if err := makeProgram("..", p.path); err != nil {
		b.Fatal(err)
	}
	programs := []*benched{p}
	older := olderProgram(b, dir)
	if older != nil {
		programs = append(programs, older)
	}
	const name = "restarted.one"
	for _, of := range programs {
		if err := placeKernel(of.path + "-state"); err != nil {
			b.Fatal(err)
		}
		file := serviceFile(b, dir, of.name, of == p)
		of.run("-f", file, "apply", "--yes")
		b.Cleanup(func() { of.run("-f", file, "destroy", "--yes") })
	}
	byHand := func(of *benched) func() float64 {
		return func() float64 {
			of.run("halt", "--force", name)
			return of.run("start", name)
		}
	}
	again := func(killer func(folder string) func()) func() float64 {
		return func() float64 {
			p.run("halt", "--force", name)
			p.run("start", "--wait", name)
			folder := filepath.Join(p.path+"-state", "workspaces", name)
			return runsAgain(b, folder, killer(folder))
		}
	}
	t := &inTurns{b: b, took: map[string][]float64{}}
	for b.Loop() {
		t.measure("start", byHand(p))
		t.beside("vmm", "start", again(func(folder string) func() { return func() { killVMM(b, folder) } }))
		t.beside("process", "start", again(func(string) func() { return killsProcess(b, p, name) }))
		if older != nil {
			t.measure("older-start", byHand(older))
			t.ratio("vmm", "older-start")
			t.ratio("process", "older-start")
		}
	}
	t.report()
}

// serviceFile writes the manifest of a service, which is started again by who knows how.
func serviceFile(b *testing.B, dir, name string, restarts bool) string {
	b.Helper()
	text := `project: restarted
workspaces:
  one:
    image: oci-archive:./image.tar
    memory: 128MiB
    disk: 64MiB
    service: [sh, -c, "echo $$ > /tmp/pid; echo up; exec sleep 100000"]
`
	if restarts {
		text += "    ready: {log: up, startPeriod: 1m}\n"
	}
	file := filepath.Join(dir, name+".yaml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
	return file
}

// benchedRun is what a benchmark reads of a run.json.
type benchedRun struct {
	ID    string `json:"id"`
	Phase string `json:"phase"`
	PID   int    `json:"pid"`
}

func readBenched(b *testing.B, folder string) (r benchedRun) {
	b.Helper()
	data, err := os.ReadFile(filepath.Join(folder, "run.json"))
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err != nil {
		b.Fatal(err)
	}
	return r
}

// runsAgain gives the milliseconds from a kill until another run of a workspace has begun.
func runsAgain(b *testing.B, folder string, kill func()) float64 {
	b.Helper()
	before := readBenched(b, folder)
	began := time.Now()
	kill()
	for ; ; time.Sleep(2 * time.Millisecond) {
		now := readBenched(b, folder)
		if now.ID != before.ID && now.Phase == "running" {
			return time.Since(began).Seconds() * 1000
		}
		if time.Since(began) > time.Minute {
			b.Fatalf("it does not run again: %+v", now)
		}
	}
}

// killVMM kills what the supervisor of a workspace started.
func killVMM(b *testing.B, folder string) {
	b.Helper()
	supervisor := readBenched(b, folder).PID
	for pid := range below(folder) {
		if pid != supervisor {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// killsProcess has a process wait in a guest to kill that of the service, and gives what lets it.
func killsProcess(b *testing.B, p *benched, name string) func() {
	b.Helper()
	cmd := exec.Command(p.path, "exec", "-i", name, "--", "sh", "-c", "echo; read line; kill -9 $(cat /tmp/pid)")
	cmd.Env = append(os.Environ(), "MICROAGENT_STATE_DIR="+p.path+"-state")
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err == nil {
		_, err = out.Read(make([]byte, 1))
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = cmd.Wait() }) // whose guest may be gone before the answer
	return func() { _ = in.Close() }
}
