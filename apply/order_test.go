package apply

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"microagent/plan"
	"microagent/plan/planfile"
	"microagent/runtime/driver"
	"microagent/runtime/drivertest"
	"microagent/schema/spec"
)

const chain = `project: demo
volumes:
  work: {size: 64MiB}
bundles:
  config: {source: ./config}
  app: {source: ./out/app}
workspaces:
  web:
    image: example.org/base:1
    mounts: {/app: {bundle: app}, /work: {volume: work}}
    after: {check: completed}
    service: [sh, -c, "sleep 1000"]
  build:
    image: example.org/base:1
    mounts: {/config: {bundle: config}, /work: {volume: work}}
    task: [sh, -c, "echo app > /app"]
  check:
    image: example.org/base:1
    mounts: {/app: {bundle: app}}
    task: [sh, -c, "echo fine > /report"]
outputs:
  app: {from: build, path: /app, to: ./out/app}
  report: {from: check, path: /report, to: ./out/report}
`

// onHost are outputs that lie in the manifest's folder as well, where a bundle is made of them.
type onHost struct{ *drivertest.FakeOutputs }

func (o onHost) Publish(ctx context.Context, tree io.Reader, t driver.Target, how driver.Publishing) (driver.Fetched, error) {
	data, err := io.ReadAll(tree)
	if err != nil {
		return driver.Fetched{}, err
	}
	got, err := o.FakeOutputs.Publish(ctx, bytes.NewReader(data), t, how)
	if err != nil {
		return got, err
	}
	root, err := t.Enter(true)
	if err != nil {
		return got, err
	}
	defer root.Close()
	r := tar.NewReader(bytes.NewReader(data))
	if _, err := r.Next(); err != nil {
		return got, err
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return got, err
	}
	return got, root.WriteFile(filepath.Base(t.Path), text, 0o644)
}

func newChain(t *testing.T, manifest string) *bench {
	b := newBench(t)
	b.drivers.Outputs = onHost{&drivertest.FakeOutputs{}}
	b.write("microagent.yaml", manifest)
	return b
}

func (b *bench) runOf(name string) string {
	b.t.Helper()
	ws, err := b.workspaces.Get(b.t.Context(), name)
	if err != nil || ws.Run == nil {
		b.t.Fatalf("%s: %+v, %v", name, ws.Run, err)
	}
	return ws.Run.ID
}

// saved is p after a trip through a file.
func saved(t *testing.T, p *plan.Plan) *plan.Plan {
	t.Helper()
	data, err := planfile.Encode(p)
	if err != nil {
		t.Fatal(err)
	}
	again, err := planfile.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

// TestWhatIsMadeOfAnOutput: what rests on it is done only when it is another, also from a saved plan.
func TestWhatIsMadeOfAnOutput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newChain(t, chain)
		b.mustApply()
		if p := b.plan(); !p.Empty() {
			t.Fatalf("a second apply would do %v", does(p))
		}
		for _, another := range []bool{false, true} {
			check, build, web := b.runOf("demo.check"), b.runOf("demo.build"), b.runOf("demo.web")
			b.write("config", "anew"+check)
			if another {
				b.write("microagent.yaml", strings.Replace(chain, "echo app", "echo another", 1))
			}
			p := saved(t, b.plan())
			res, err := Run(t.Context(), b.drivers, p, b.files, Options{Parallel: 4, Saved: true})
			if err != nil || res.Err() != nil || len(res.NotStarted) > 0 {
				t.Fatalf("%v, %v, not started: %v", err, res.Err(), res.NotStarted)
			}
			if b.runOf("demo.build") == build {
				t.Error("the build did not run")
			}
			if b.runOf("demo.web") == web {
				t.Error("the service did not give the build its turn with the volume")
			}
			if ran := b.runOf("demo.check") != check; ran != another {
				t.Errorf("another output: %v, and the check ran: %v", another, ran)
			}
			unneeded := slices.Contains(res.Unneeded, plan.Address{Kind: plan.KindTask, Name: "check"})
			if unneeded == another {
				t.Errorf("another output: %v, not needed: %v", another, res.Unneeded)
			}
			if p := b.plan(); !p.Empty() {
				t.Errorf("another output: %v: a further apply would do %v", another, does(p))
			}
		}
	})
}

// TestFailedTaskHoldsBackWhatComesAfter: also what is made of the output that it left.
func TestFailedTaskHoldsBackWhatComesAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newChain(t, strings.Replace(chain, "echo app > /app", "echo half > /app; exit 1", 1))
		res, err := Run(t.Context(), b.drivers, b.plan(), b.files, Options{Parallel: 4, KeepGoing: true})
		if err != nil || len(res.Failed) != 1 {
			t.Fatalf("%v, failed: %v", err, res.Failed)
		}
		because := map[string]string{}
		for _, s := range res.NotStarted {
			because[s.Address.String()] = s.Because.String()
		}
		for _, of := range []string{"bundle/app", "task/check", "workspace/web"} {
			if because[of] == "" {
				t.Errorf("%s: not among %v", of, because)
			}
		}
		if because["bundle/app"] != "task/build" {
			t.Errorf("bundle/app needs %s", because["bundle/app"])
		}
		if data, err := os.ReadFile(filepath.Join(b.dir, "out/app")); err != nil || string(data) != "half\n" {
			t.Errorf("what the task left: %q, %v", data, err)
		}
		b.write("microagent.yaml", chain)
		b.mustApply()
		if p := b.plan(); !p.Empty() {
			t.Errorf("a further apply would do %v", does(p))
		}
	})
}

// TestStartedIsBeforeTheEnd: who comes after a task that has started does not wait for its end.
func TestStartedIsBeforeTheEnd(t *testing.T) {
	b := newChain(t, `project: demo
workspaces:
  long: {image: example.org/base:1, task: [sh, -c, "sleep 1000"]}
  other: {image: example.org/base:1, after: {long: started}, task: [sh, -c, "exit 0"]}
`)
	done := make(chan *Result)
	go func() { done <- b.apply(t.Context(), b.plan()) }()
	if err := b.workspaces.WaitUntil(t.Context(), "demo.other", spec.PhaseFinished); err != nil {
		t.Fatal(err)
	}
	b.workspaces.Finish("demo.long", 0)
	if res := <-done; res.Err() != nil || len(res.NotStarted) > 0 {
		t.Errorf("%v, not started: %v", res.Err(), res.NotStarted)
	}
}

// TestStartedIsNotReady: a probe that does not pass holds back who comes after readiness, and nobody else.
func TestStartedIsNotReady(t *testing.T) {
	for _, noWait := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := newChain(t, `project: demo
workspaces:
  db: {image: example.org/base:1, service: [sh, -c, "sleep 1000"], ready: {port: 5432}}
  beside: {image: example.org/base:1, after: {db: started}, task: [sh, -c, "exit 0"]}
  client: {image: example.org/base:1, after: {db: ready}, task: [sh, -c, "exit 0"]}
`)
			b.workspaces.Probes("demo.db", &driver.Readiness{Probe: "port 5432", State: driver.ReadyWaiting})
			res, err := Run(t.Context(), b.drivers, b.plan(), b.files, Options{Parallel: 9, NoWait: noWait, WaitTimeout: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			done := func(kind plan.Kind, name string) bool {
				return slices.Contains(res.Done, plan.Address{Kind: kind, Name: name})
			}
			if !done(plan.KindTask, "beside") || done(plan.KindTask, "client") || !OutOfTime(res.Err()) || len(res.Failed) != 1 {
				t.Errorf("no wait %v: done %v, failed %v", noWait, res.Done, res.Failed)
			}
			if done(plan.KindWorkspace, "db") != noWait {
				t.Errorf("no wait %v: done %v", noWait, res.Done)
			}
			b.workspaces.Probes("demo.db", nil)
			if _, err := b.workspaces.Stop(t.Context(), "demo.db", driver.StopOptions{}); err != nil {
				t.Fatal(err)
			}
			b.mustApply()
			if p := b.plan(); !p.Empty() {
				t.Errorf("a further apply would do %v", does(p))
			}
		})
	}
}
