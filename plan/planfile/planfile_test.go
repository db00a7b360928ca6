package planfile_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"microagent/plan"
	"microagent/plan/observed"
	"microagent/plan/planfile"
	"microagent/schema"
	"microagent/schema/diag"
	"microagent/schema/spec"
)

const manifest = `project: counter
volumes:
  data: {size: 512MiB}
bundles:
  config: {source: ./config, exclude: ["*.log"]}
workspaces:
  counter:
    image: docker.io/library/alpine:3.20
    env: {GREETING: "<hello>"}
    mounts:
      /work: {volume: data, mode: "0700"}
      /config: {bundle: config}
    timeout: 5m
    task: [sh, -c, "wc -l < /work/log"]
outputs:
  count: {from: counter, path: /work/count, to: ./out/count, limit: 1MiB}
`

func made(t testing.TB) *plan.Plan {
	t.Helper()
	m, list := schema.Load("microagent.yaml", []byte(manifest), schema.Options{})
	if m == nil {
		t.Fatal(list.Err())
	}
	w := &observed.World{
		Sources: map[string]observed.Source{"config": {Digest: "sha256:1", Entries: 1}},
		Images:  map[string]observed.Image{"docker.io/library/alpine:3.20": {Ref: "docker.io/library/alpine:3.20"}},
		Outputs: map[string]observed.Output{"count": {}},
		Host:    spec.Host{VMM: "qemu", Memory: 1 << 20},
	}
	p, errs := plan.Make(m, w, plan.Options{Tool: "v1", ManifestPath: "/p/microagent.yaml", AllowPaths: []string{"/data"}})
	if errs.Errors() {
		t.Fatal(errs.Err())
	}
	return p
}

func TestSaveAndLoad(t *testing.T) {
	p := made(t)
	path := filepath.Join(t.TempDir(), "plan")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := planfile.Save(path, p); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	back, err := planfile.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(p, back) {
		t.Errorf("saved\n%+v\nloaded\n%+v", p, back)
	}
	if names, _ := os.ReadDir(filepath.Dir(path)); len(names) != 1 {
		t.Errorf("left behind: %v", names)
	}
}

// TestRefusalsAreSaved: a plan that can't be applied is kept for those who have to read why.
func TestRefusalsAreSaved(t *testing.T) {
	p := made(t)
	p.Refusals = []diag.Diagnostic{{Severity: diag.Error, Code: plan.CodeVolumeShrinks, Summary: "volume data would shrink",
		Next: "write size: 1GiB", Pos: diag.Pos{File: "microagent.yaml", Line: 3, Col: 3}}}
	path := filepath.Join(t.TempDir(), "plan")
	if err := planfile.Save(path, p); err != nil {
		t.Fatal(err)
	}
	got, err := planfile.Load(path)
	if err != nil || !reflect.DeepEqual(got, p) || !got.Refused() {
		t.Errorf("%v: %+v came back as %+v", err, p, got)
	}
}

func TestSaveFails(t *testing.T) {
	p := made(t)
	if err := planfile.Save(filepath.Join(t.TempDir(), "no", "plan"), p); err == nil {
		t.Error("saved into a folder that is not there")
	}
	dir := t.TempDir()
	if err := planfile.Save(dir, p); err == nil {
		t.Error("saved over a folder")
	}
	if names, _ := os.ReadDir(dir); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
}

// TestLoadRefuses changes a good file in one place each.
func TestLoadRefuses(t *testing.T) {
	good, err := planfile.Encode(made(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ old, new, want string }{
		"not json":      {"{", "", "it is not a plan"},
		"other json":    {`"kind": "microagent-plan"`, `"kind": "other"`, "it is not a plan"},
		"newer":         {`"format": 1`, `"format": 2`, "has format 2, written by microagent v1; this one reads format 1"},
		"older":         {`"format": 1`, `"format": 0`, "its format 0 is not known"},
		"unknown field": {`"project":`, `"later": 1, "project":`, `unknown field "later"`},
		"no project":    {`"project": "counter",`, `"project": "",`, "no project"},
		"operation":     {`"action": "create"`, `"action": "delete"`, `no operation "delete" on volume/data`},
	} {
		t.Run(name, func(t *testing.T) {
			if !bytes.Contains(good, []byte(c.old)) {
				t.Fatalf("the file has no %q", c.old)
			}
			path := filepath.Join(t.TempDir(), "plan")
			if err := os.WriteFile(path, bytes.Replace(good, []byte(c.old), []byte(c.new), 1), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := planfile.Load(path)
			var bad *planfile.FormatError
			if !errors.As(err, &bad) || bad.Path != path || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	if _, err := planfile.Load(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// TestLoadChecks changes a good plan and sees that what apply relies on is looked at.
func TestLoadChecks(t *testing.T) {
	last := func(p *plan.Plan) *plan.Change { return &p.Changes[len(p.Changes)-1] }
	for name, c := range map[string]struct {
		change func(p *plan.Plan)
		want   string
	}{
		"unbound":    {func(p *plan.Plan) { p.Bound = nil }, "bound to no records"},
		"twice":      {func(p *plan.Plan) { p.Changes = append(p.Changes, p.Changes[0]) }, "is in it twice"},
		"no object":  {func(p *plan.Plan) { last(p).Output = nil }, "says nothing about the object"},
		"dependency": {func(p *plan.Plan) { p.Changes[0].Deps = []plan.Address{last(p).Address} }, "which it waits for"},
		"cause":      {func(p *plan.Plan) { p.Changes[0].If = []plan.Cause{{Bundle: "none"}} }, "comes before bundle/none"},
		"order":      {func(p *plan.Plan) { p.Changes[0].After = []plan.Wait{{Address: last(p).Address, Until: "started"}} }, "which it waits for"},
		"kind":       {func(p *plan.Plan) { last(p).Address.Kind = "other" }, `no operation "collect" on other/count`},
		"inner":      {func(p *plan.Plan) { p.Format = 7 }, "the plan in it has format 7"},
	} {
		t.Run(name, func(t *testing.T) {
			p := made(t)
			c.change(p)
			data, err := planfile.Encode(p)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := planfile.Decode(data); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestStale(t *testing.T) {
	p := &plan.Plan{Bound: map[string]string{
		"volume/p.same": "d1", "volume/p.changed": "d1", "workspace/p.gone": "d1", "workspace/p.new": "", "bundle/p.absent": "",
	}}
	got := planfile.Stale(p, map[string]string{
		"volume/p.same": "d1", "volume/p.changed": "d2", "workspace/p.new": "d3", "volume/unrelated": "d4",
	})
	want := []string{"volume/p.changed changed", "workspace/p.gone is gone", "workspace/p.new is there now"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestMakeBindsWhatItRestsOn(t *testing.T) {
	want := map[string]string{"project/counter": "", "volume/counter.data": "", "bundle/counter.config": "", "workspace/counter.counter": ""}
	if got := made(t).Bound; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// FuzzDecode sees that whatever is taken for a plan is one that can be saved, and comes back the same.
func FuzzDecode(f *testing.F) {
	good, err := planfile.Encode(made(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"kind":"microagent-plan","format":1,"plan":{"format":1,"project":"p","changes":[],"bound":{}}}`))
	f.Add([]byte(`{"kind":"microagent-plan","format":9}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := planfile.Decode(data)
		if err != nil {
			var bad *planfile.FormatError
			if !errors.As(err, &bad) {
				t.Fatalf("error of another type: %v", err)
			}
			return
		}
		first, err := planfile.Encode(p)
		if err != nil {
			t.Fatal(err)
		}
		again, err := planfile.Decode(first)
		if err != nil {
			t.Fatalf("saved and refused: %v", err)
		}
		if second, _ := planfile.Encode(again); !bytes.Equal(first, second) {
			t.Error("a second trip gives other bytes")
		}
	})
}
