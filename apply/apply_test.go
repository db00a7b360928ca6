package apply

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"microagent/apply/folder"
	"microagent/apply/refresh"
	"microagent/plan"
	"microagent/runtime/driver"
	"microagent/runtime/drivertest"
	"microagent/schema"
	"microagent/schema/spec"
)

const manifest = `project: demo
volumes:
  data: {size: 64MiB}
bundles:
  config: {source: ./config}
workspaces:
  counter:
    image: example.org/base:1
    mounts:
      /work: {volume: data}
      /config: {bundle: config}
    task: [sh, -c, "echo 42 > /work/count"]
  web:
    image: example.org/base:1
    service: [sh, -c, "sleep 1000"]
outputs:
  count: {from: counter, path: /work/count, to: ./out/count}
`

// bench is a project in a folder, with fakes below it.
type bench struct {
	t          *testing.T
	dir        string
	files      *folder.Folder
	volumes    *drivertest.FakeVolumes
	workspaces *drivertest.FakeWorkspaces
	disks      *drivertest.FakeDisks
	lossy      []string // what --allow-data-loss names
	drivers    driver.Set
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), volumes: &drivertest.FakeVolumes{}, disks: &drivertest.FakeDisks{}}
	b.workspaces = &drivertest.FakeWorkspaces{Volumes: b.volumes}
	b.write("config", "hello")
	b.write("microagent.yaml", manifest)
	files, err := folder.Open(b.dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { files.Close() })
	b.files = files
	b.drivers = driver.Set{
		Images: &drivertest.FakeImages{Remote: map[string]drivertest.FakeImage{
			"example.org/base:1": {Config: spec.ImageConfig{Env: map[string]string{"PATH": "/bin"}}},
		}},
		Disks: b.disks, Volumes: b.volumes, VolumeData: b.volumes, Workspaces: b.workspaces, Runs: b.workspaces, Projects: &drivertest.FakeProjects{},
		Outputs: &drivertest.FakeOutputs{}, Hosts: drivertest.NewFakeHosts(),
	}
	return b
}

func (b *bench) write(name, text string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) plan() *plan.Plan {
	b.t.Helper()
	return b.planWith(nil)
}

func (b *bench) planWith(rerun []string) *plan.Plan {
	b.t.Helper()
	data, err := os.ReadFile(filepath.Join(b.dir, "microagent.yaml"))
	if err != nil {
		b.t.Fatal(err)
	}
	m, problems := schema.Load("microagent.yaml", data, schema.Options{})
	if err := problems.Err(); err != nil {
		b.t.Fatal(err)
	}
	path := filepath.Join(b.dir, "microagent.yaml")
	w, err := refresh.World(b.t.Context(), b.drivers, m, b.files, refresh.Options{Manifest: path})
	if err != nil {
		b.t.Fatal(err)
	}
	p, planned := plan.Make(m, w, plan.Options{Tool: "test", ManifestPath: path, Rerun: rerun, AllowDataLoss: b.lossy})
	if err := planned.Err(); err != nil {
		b.t.Fatal(err)
	}
	return p
}

func (b *bench) apply(ctx context.Context, p *plan.Plan) *Result {
	b.t.Helper()
	res, err := Run(ctx, b.drivers, p, b.files, Options{Parallel: 4})
	if err != nil {
		b.t.Fatal(err)
	}
	return res
}

func (b *bench) mustApply() {
	b.t.Helper()
	if res := b.apply(b.t.Context(), b.plan()); res.Err() != nil || len(res.NotStarted) > 0 {
		b.t.Fatalf("apply: %v, not started %v", res.Err(), res.NotStarted)
	}
}

func does(p *plan.Plan) []string {
	var list []string
	for _, c := range p.Changes {
		if c.Does() {
			list = append(list, string(c.Action)+" "+c.Address.String())
		}
	}
	slices.Sort(list)
	return list
}

func TestPlanAfterApplyIsEmpty(t *testing.T) {
	b := newBench(t)
	b.mustApply()
	if p := b.plan(); !p.Empty() {
		t.Errorf("a second apply would do %v", does(p))
	}
	ws, err := b.workspaces.Get(t.Context(), "demo.counter")
	if err != nil {
		t.Fatal(err)
	}
	if ws.Spec.Process.Env["PATH"] != "/bin" {
		t.Errorf("the image's environment did not reach the workspace: %v", ws.Spec.Process.Env)
	}
	if ws.Run == nil || ws.Run.Key == "" {
		t.Errorf("the run has no key: %+v", ws.Run)
	}
	if web, _ := b.workspaces.Get(t.Context(), "demo.web"); web.Run == nil || !web.Run.Phase.Alive() {
		t.Errorf("the service does not run: %+v", web.Run)
	}
}

func TestChangedBundleRunsTheTaskAgain(t *testing.T) {
	b := newBench(t)
	b.mustApply()
	first, _ := b.workspaces.Get(t.Context(), "demo.counter")
	b.write("config", "changed")
	p := b.plan()
	want := []string{"build bundle/config", "run task/counter", "update workspace/counter"}
	got := slices.DeleteFunc(does(p), func(s string) bool { return s == "collect output/count" })
	if !slices.Equal(got, want) {
		t.Errorf("plan does %v, want %v", got, want)
	}
	b.mustApply()
	second, _ := b.workspaces.Get(t.Context(), "demo.counter")
	if first.Run.ID == second.Run.ID {
		t.Error("the task did not run again")
	}
	if first.ID != second.ID {
		t.Error("the root file system was replaced")
	}
	if p := b.plan(); !p.Empty() {
		t.Errorf("a further apply would do %v", does(p))
	}
}

func TestDestroyKeepsVolumes(t *testing.T) {
	b := newBench(t)
	b.mustApply()
	w, err := refresh.Project(t.Context(), b.drivers, "demo", refresh.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, problems := plan.Destroy("demo", w, plan.Options{Tool: "test"})
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	if res := b.apply(t.Context(), p); res.Err() != nil {
		t.Fatal(res.Err())
	}
	if list, _ := b.workspaces.List(t.Context()); len(list) != 0 {
		t.Errorf("workspaces are left: %v", list)
	}
	if _, err := b.volumes.Get(t.Context(), "demo.data"); err != nil {
		t.Errorf("the volume is gone: %v", err)
	}
	if p, err := b.drivers.Projects.Get(t.Context(), "demo"); err != nil || p.Manifest != "" || len(p.Outputs) != 1 {
		t.Errorf("the project's record: %+v, %v", p, err)
	}
	b.mustApply() // adopts the volume that was kept
}

func TestFailureStartsNothingThatNeedsIt(t *testing.T) {
	b := newBench(t)
	boom := errors.New("boom")
	b.workspaces.Fail = func(op, name string) error {
		if op == "create" && name == "demo.counter" {
			return boom
		}
		return nil
	}
	res := b.apply(t.Context(), b.plan())
	if len(res.Failed) != 1 || !errors.Is(res.Err(), boom) || res.Failed[0].Address.String() != "workspace/counter" {
		t.Fatalf("failed: %v", res.Failed)
	}
	var skipped []string
	for _, s := range res.NotStarted {
		skipped = append(skipped, s.Address.String())
	}
	for _, want := range []string{"task/counter", "output/count"} {
		if !slices.Contains(skipped, want) {
			t.Errorf("%s is not among what was not started: %v", want, skipped)
		}
	}
	b.workspaces.Fail = nil
	b.mustApply()
	if p := b.plan(); !p.Empty() {
		t.Errorf("after going on, an apply would do %v", does(p))
	}
}

// TestKeepGoing: without it nothing is started after a failure; with it everything is that does not rest on what failed.
func TestKeepGoing(t *testing.T) {
	for _, keepGoing := range []bool{false, true} {
		b := newBench(t)
		b.workspaces.Fail = func(op, name string) error {
			if op == "create" && name == "demo.counter" {
				return errors.New("boom")
			}
			return nil
		}
		res, err := Run(t.Context(), b.drivers, b.plan(), b.files, Options{Parallel: 1, KeepGoing: keepGoing})
		if err != nil || len(res.Failed) != 1 {
			t.Fatalf("%v, failed: %v", err, res.Failed)
		}
		web := plan.Address{Kind: plan.KindWorkspace, Name: "web"}
		if done := slices.Contains(res.Done, web); done != keepGoing {
			t.Errorf("keep going %v: done %v, not started %v", keepGoing, res.Done, res.NotStarted)
		}
		if slices.ContainsFunc(res.Done, func(a plan.Address) bool { return a.Kind == plan.KindTask || a.Kind == plan.KindOutput }) {
			t.Errorf("keep going %v: what rests on it was done: %v", keepGoing, res.Done)
		}
	}
}

// TestDestroyGoesPastFailures: one workspace that can't be deleted keeps no other.
func TestDestroyGoesPastFailures(t *testing.T) {
	b := newBench(t)
	if res := b.apply(t.Context(), b.plan()); res.Err() != nil {
		t.Fatal(res.Err())
	}
	b.workspaces.Fail = func(op, name string) error {
		if op == "retire" && name == "demo.counter" {
			return errors.New("boom")
		}
		return nil
	}
	w, err := refresh.Project(t.Context(), b.drivers, "demo", refresh.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, _ := plan.Destroy("demo", w, plan.Options{Tool: "test"})
	res, err := Run(t.Context(), b.drivers, p, b.files, Options{Parallel: 1})
	if err != nil || len(res.Failed) != 1 {
		t.Fatalf("%v, failed: %v", err, res.Failed)
	}
	left, err := b.workspaces.List(t.Context())
	if err != nil || len(left) != 1 || left[0].Spec.Name != "demo.counter" {
		t.Errorf("left: %v, %v", left, err)
	}
	if record, err := b.drivers.Projects.Get(t.Context(), "demo"); err != nil || record.Manifest == "" {
		t.Errorf("the project is forgotten although it is not gone: %+v, %v", record, err)
	}
}

func TestEveryFailureConverges(t *testing.T) {
	for step := 0; ; step++ {
		b := newBench(t)
		var mu sync.Mutex
		calls, failed := 0, false
		b.workspaces.Fail = func(op, name string) error {
			mu.Lock()
			defer mu.Unlock()
			calls++
			if calls == step+1 && !failed {
				failed = true
				return errors.New("killed here")
			}
			return nil
		}
		_ = b.apply(t.Context(), b.plan())
		if !failed {
			return
		}
		b.workspaces.Fail = nil
		b.mustApply()
		if p := b.plan(); !p.Empty() {
			t.Errorf("failure at call %d: the apply after the next would do %v", step, does(p))
		}
	}
}

func TestFailedTaskLeavesItsOutputAndRunsAgain(t *testing.T) {
	b := newBench(t)
	b.write("microagent.yaml", strings.Replace(manifest, "echo 42 > /work/count", "echo 42 > /work/count; echo oops >&2; exit 3", 1))
	res := b.apply(t.Context(), b.plan())
	var te *TaskError
	if !errors.As(res.Err(), &te) || te.ExitCode != 3 {
		t.Fatalf("apply: %v", res.Err())
	}
	if !slices.Equal(te.Written, []Line{{"stderr", "oops"}}) {
		t.Errorf("the last lines: %q", te.Written)
	}
	if data, err := os.ReadFile(filepath.Join(b.dir, "out/count")); err == nil && string(data) != "42\n" {
		t.Errorf("output: %q", data)
	}
	if !slices.Contains(res.Done, plan.Address{Kind: plan.KindOutput, Name: "count"}) {
		t.Errorf("the failed task's output was not collected: %v", res.Done)
	}
	if got := does(b.plan()); !slices.Contains(got, "run task/counter") {
		t.Errorf("the next plan does not run it again: %v", got)
	}
}

// The root cause alone is a failure: what a failed task did not write follows from it.
func TestFailedTaskIsTheOnlyFailure(t *testing.T) {
	b := newBench(t)
	b.write("microagent.yaml", strings.Replace(manifest, "echo 42 > /work/count", "exit 3; echo > /work/count", 1))
	res := b.apply(t.Context(), b.plan())
	if len(res.Failed) != 1 || res.Failed[0].Address.Kind != plan.KindTask {
		t.Errorf("failures: %v", res.Failed)
	}
	output := plan.Address{Kind: plan.KindOutput, Name: "count"}
	if !slices.ContainsFunc(res.NotStarted, func(s Skipped) bool { return s.Address == output && s.Because.Kind == plan.KindTask }) {
		t.Errorf("not started: %v", res.NotStarted)
	}
}

func TestOutputNeverReplacesWhatNoApplyPutThere(t *testing.T) {
	b := newBench(t)
	outputs := b.drivers.Outputs
	target, err := b.files.Target("out/count")
	if err != nil {
		t.Fatal(err)
	}
	p := b.plan() // made before the user's file is there
	users := drivertest.Tar(t, drivertest.Entry{Name: ".", Data: "mine"})
	mine, err := outputs.Publish(t.Context(), bytes.NewReader(users), target, driver.Publishing{})
	if err != nil {
		t.Fatal(err)
	}
	res := b.apply(t.Context(), p)
	if !errors.Is(res.Err(), driver.ErrRefused) {
		t.Errorf("collecting over a user's file: %v", res.Err())
	}
	if digest, _ := outputs.Digest(t.Context(), target); digest != mine.Digest {
		t.Error("the user's file was replaced")
	}
}

func TestStalePlanIsRefused(t *testing.T) {
	b := newBench(t)
	p := b.plan()
	if _, _, err := b.volumes.Create(t.Context(), driver.VolumeSpec{Name: "demo.data", Project: "demo", Size: 1 << 26}); err != nil {
		t.Fatal(err)
	}
	_, err := Run(t.Context(), b.drivers, p, b.files, Options{})
	var stale *StaleError
	if !errors.Is(err, driver.ErrStale) || !errors.As(err, &stale) || len(stale.Moved) == 0 {
		t.Fatalf("apply of a stale plan: %v", err)
	}
	if want := "apply plan of project demo: since it was made, volume/demo.data is there now"; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	if calls := b.workspaces.Calls(); len(calls) != 0 {
		t.Errorf("it did %v", calls)
	}
}

// What a saved plan would read or replace is looked at before anything is done.
func TestSavedPlanIsRefusedWhenItsFilesMoved(t *testing.T) {
	b := newBench(t)
	p := b.plan()
	b.write("config", "changed")
	_, err := Run(t.Context(), b.drivers, p, b.files, Options{Saved: true})
	if !errors.Is(err, driver.ErrStale) || !strings.Contains(err.Error(), "since it was made, ./config changed") {
		t.Fatalf("apply of a plan whose bundle changed: %v", err)
	}
	if calls := b.workspaces.Calls(); len(calls) != 0 {
		t.Errorf("it did %v", calls)
	}
	b.write("config", "hello")
	if _, err := Run(t.Context(), b.drivers, p, b.files, Options{Saved: true}); err != nil {
		t.Errorf("apply of a plan whose files are as they were: %v", err)
	}
}

func TestSecondApplyAtOnceIsToldWhoHoldsIt(t *testing.T) {
	b := newBench(t)
	unlock, err := b.drivers.Projects.Lock(t.Context(), "demo", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if _, err := Run(t.Context(), b.drivers, b.plan(), b.files, Options{}); !errors.Is(err, driver.ErrLocked) {
		t.Errorf("apply beside another: %v", err)
	}
}

func TestInterruptLeavesTheTaskRunning(t *testing.T) {
	b := newBench(t)
	b.write("microagent.yaml", strings.Replace(manifest, "echo 42 > /work/count", "sleep 1000", 1))
	ctx, interrupt := context.WithCancel(t.Context())
	go func() {
		_ = b.workspaces.WaitUntil(t.Context(), "demo.counter", spec.PhaseRunning)
		interrupt()
	}()
	res := b.apply(ctx, b.plan())
	if !res.Interrupted || len(res.Failed) != 0 {
		t.Fatalf("interrupted %v, failed %v", res.Interrupted, res.Failed)
	}
	if !slices.Equal(res.GoesOn, []string{"demo.counter"}) {
		t.Errorf("goes on: %v", res.GoesOn)
	}
	if got := does(b.plan()); !slices.Contains(got, "wait task/counter") {
		t.Errorf("the next plan does not wait for it: %v", got)
	}
}

func TestRemovedWorkspaceIsDeletedAndItsVolumeKept(t *testing.T) {
	b := newBench(t)
	b.mustApply()
	b.write("microagent.yaml", "project: demo\nworkspaces:\n  web:\n    image: example.org/base:1\n    service: [sh, -c, \"sleep 1000\"]\n")
	b.mustApply()
	if _, err := b.workspaces.Get(t.Context(), "demo.counter"); !errors.Is(err, driver.ErrNotFound) {
		t.Errorf("the removed workspace: %v", err)
	}
	if _, err := b.volumes.Get(t.Context(), "demo.data"); err != nil {
		t.Errorf("its volume: %v", err)
	}
}

// TestPlanWithoutWorkspacesAsksNoVMM: what would run a workspace is told where there is one, and the room always.
func TestPlanWithoutWorkspacesAsksNoVMM(t *testing.T) {
	b := newBench(t)
	if host := b.plan().Host; host.VMM == "" || host.DiskFree == 0 {
		t.Errorf("with workspaces: %+v", host)
	}
	b.write("microagent.yaml", "project: counter\nvolumes:\n  data: {size: 32MiB}\n")
	if host := b.plan().Host; host.VMM != "" || host.DiskFree == 0 {
		t.Errorf("without: %+v", host)
	}
}
