package render_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"

	"microagent/plan"
	"microagent/plan/observed"
	"microagent/plan/render"
	"microagent/schema"
	"microagent/schema/spec"
)

func sample() *plan.Plan {
	workspace := &observed.WorkspaceSpec{Name: "p.x", Mode: "task", Desired: "running",
		Guest: spec.Guest{Env: map[string]string{"token": "canary"}}}
	return &plan.Plan{
		Format: 1, Tool: "v1", Project: "p", Bound: map[string]string{"workspace/p.x": ""},
		Host: spec.Host{VMM: "qemu 7.2.22 (tcg)"},
		Changes: []plan.Change{
			{Address: plan.Address{Kind: plan.KindImage, Name: `a"\` + "\x1b[31m"}, Action: plan.ActionPull, Reason: plan.ReasonAbsent,
				Image: &plan.ImageObject{Ref: "a", Size: 5 << 20}},
			{Address: plan.Address{Kind: plan.KindVolume, Name: "same"}, Action: plan.ActionNone},
			{Address: plan.Address{Kind: plan.KindWorkspace, Name: "x"}, Action: plan.ActionReplace, Reason: plan.ReasonFieldChanged,
				Fields: []plan.FieldChange{{Path: "disk", Before: "2 GiB", After: "1 GiB", Forces: true}},
				Danger: plan.DangerSetAside, Warning: "files outside volumes are replaced", Workspace: workspace,
				Deps: []plan.Address{{Kind: plan.KindImage, Name: `a"\` + "\x1b[31m"}}},
			{Address: plan.Address{Kind: plan.KindTask, Name: "x"}, Action: plan.ActionRun, Reason: plan.ReasonDependency, Workspace: workspace,
				Deps: []plan.Address{{Kind: plan.KindWorkspace, Name: "x"}}},
		},
	}
}

func TestJSON(t *testing.T) {
	var out bytes.Buffer
	p := sample()
	if err := render.JSON(&out, p); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(out.Bytes(), []byte("canary")) || p.Changes[2].Workspace.Env["token"] != "canary" {
		t.Errorf("the value of a variable is shown, or gone from the plan: %s", out.Bytes())
	}
	var doc struct {
		FormatVersion string `json:"format_version"`
		Empty         bool
		Summary       struct {
			Actions   map[string]int
			Unchanged int
			SetAside  int   `json:"set_aside"`
			DataLoss  int   `json:"data_loss"`
			PullBytes int64 `json:"pull_bytes"`
		}
		Isolation string
		Changes   []struct {
			Address struct{ Kind, Name string }
			Action  string
			Fields  []struct {
				Path   string
				Forces bool
			}
		}
		Warnings []any
	}
	if err := json.Unmarshal(out.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	switch {
	case doc.FormatVersion != "1.0", doc.Empty, len(doc.Changes) != 4, doc.Warnings == nil,
		doc.Summary.Actions["run"] != 1, doc.Summary.Unchanged != 1, doc.Summary.SetAside != 1, doc.Summary.DataLoss != 0, doc.Summary.PullBytes != 5<<20,
		!doc.Changes[2].Fields[0].Forces, !strings.Contains(doc.Isolation, "not a security boundary"):
		t.Errorf("%s", out.String())
	}
	for _, key := range regexp.MustCompile(`"([^"\\]*)":`).FindAllStringSubmatch(out.String(), -1) {
		if !regexp.MustCompile(`^[a-z0-9_./]+$`).MatchString(key[1]) {
			t.Errorf("key %q is not in snake case", key[1])
		}
	}
}

func TestDeclared(t *testing.T) {
	m, list := schema.Load("microagent.yaml", []byte(`project: shop
volumes: {data: {size: 1GiB}}
bundles: {app: {source: ./out/app}}
workspaces:
  build: {image: docker.io/library/alpine:3.20, task: ["true"]}
  db: {image: docker.io/library/alpine:3.20, service: [db], mounts: {/data: {volume: data}}, ready: {port: 1}}
  web: {image: docker.io/library/alpine:3.20, service: [web], mounts: {'/a"<b': {bundle: app}}, after: {db: ready}}
outputs: {app: {from: build, path: /app, to: ./out/app}}
`), schema.Options{})
	if m == nil {
		t.Fatal(list.Err())
	}
	for format, want := range map[render.GraphFormat]string{
		render.Mermaid: `flowchart LR
  n0["volume/data"]
  n1["bundle/app"]
  n2["workspace/build"]
  n3["workspace/db"]
  n4["workspace/web"]
  n5["output/app"]
  n5 -->|"made of"| n1
  n0 -->|"/data"| n3
  n1 -->|"/a#quot;#lt;b"| n4
  n3 -->|"ready"| n4
  n2 --> n5
`,
		render.Dot: `digraph "shop" {
  rankdir=LR;
  node [shape=box];
  "volume/data" [label="volume/data"];
  "bundle/app" [label="bundle/app"];
  "workspace/build" [label="workspace/build"];
  "workspace/db" [label="workspace/db"];
  "workspace/web" [label="workspace/web"];
  "output/app" [label="output/app"];
  "output/app" -> "bundle/app" [label="made of"];
  "volume/data" -> "workspace/db" [label="/data"];
  "bundle/app" -> "workspace/web" [label="/a\"<b"];
  "workspace/db" -> "workspace/web" [label="ready"];
  "workspace/build" -> "output/app";
}
`} {
		var out bytes.Buffer
		if err := render.Declared(&out, m, format); err != nil {
			t.Fatal(err)
		}
		if out.String() != want {
			t.Errorf("got\n%s\nwant\n%s", out.String(), want)
		}
	}
}

func TestGraph(t *testing.T) {
	var out bytes.Buffer
	if err := render.Graph(&out, sample(), render.Dot); err != nil {
		t.Fatal(err)
	}
	const want = `digraph "p" {
  rankdir=LR;
  node [shape=box];
  "image/a\"\\\\x1b[31m" [label="pull image/a\"\\\\x1b[31m"];
  "workspace/x" [label="replace workspace/x"];
  "task/x" [label="run task/x"];
  "image/a\"\\\\x1b[31m" -> "workspace/x";
  "workspace/x" -> "task/x";
}
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

// TestGraphShowsTheOrder: an edge has what the manifest asks for, also where nothing has to be done before.
func TestGraphShowsTheOrder(t *testing.T) {
	task := func(name string) plan.Address { return plan.Address{Kind: plan.KindTask, Name: name} }
	p := &plan.Plan{Project: "p", Changes: []plan.Change{
		{Address: task("a"), Action: plan.ActionRun},
		{Address: task("b"), Action: plan.ActionRun, Deps: []plan.Address{task("a")}, After: []plan.Wait{{Address: task("a"), Until: spec.UntilCompleted}}},
		{Address: task("c"), Action: plan.ActionRun, After: []plan.Wait{{Address: task("a"), Until: spec.UntilStarted}}},
	}}
	var out bytes.Buffer
	if err := render.Graph(&out, p, render.Dot); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"task/a" -> "task/b" [label="completed"];`, `"task/a" -> "task/c" [label="started"];`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s is not in\n%s", want, out.String())
		}
	}
}

// TestTextIsSafe looks for bytes that a terminal acts on, and for what no terminal has to know.
func TestTextIsSafe(t *testing.T) {
	for _, o := range []render.Options{{}, {Verbose: true}, {ASCII: true, Width: 60}} {
		var out bytes.Buffer
		if err := render.Text(&out, sample(), o); err != nil {
			t.Fatal(err)
		}
		for _, r := range out.String() {
			if r < ' ' && r != '\n' || o.ASCII && r > '~' {
				t.Errorf("%+v: %q is in\n%s", o, r, out.String())
				break
			}
		}
		for _, want := range []string{"# forces replacement", "! set aside: files outside volumes", "No volume loses data", "not a security boundary"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%+v: no %q in\n%s", o, want, out.String())
			}
		}
	}
}

// TestColourAddsNothing takes the colours out again.
func TestColourAddsNothing(t *testing.T) {
	var plain, coloured bytes.Buffer
	_ = render.Text(&plain, sample(), render.Options{})
	_ = render.Text(&coloured, sample(), render.Options{Color: true})
	stripped := regexp.MustCompile("\x1b\\[[0-9]+m").ReplaceAllString(coloured.String(), "")
	if plain.String() == coloured.String() || stripped != plain.String() {
		t.Errorf("got\n%s\nwant\n%s", stripped, plain.String())
	}
}

func TestEmptyPlanIsOneLine(t *testing.T) {
	kept := func(name string) plan.Change {
		return plan.Change{Address: plan.Address{Kind: plan.KindVolume, Name: name}, Action: plan.ActionKeep, Volume: &plan.VolumeObject{Name: "p." + name}}
	}
	none := plan.Change{Address: plan.Address{Kind: plan.KindWorkspace, Name: "x"}, Action: plan.ActionNone}
	for _, c := range []struct {
		changes []plan.Change
		want    string
	}{
		{nil, "Nothing to do: project p declares no objects\n"},
		{[]plan.Change{none}, "Nothing to do: the only object of project p is as declared\n"},
		{[]plan.Change{none, kept("a")}, "Nothing to do: the only object of project p is as declared; volume p.a is kept (microagent volume delete p.a deletes it)\n"},
		{[]plan.Change{none, kept("a"), kept("b")}, "Nothing to do: the only object of project p is as declared; volumes p.a, p.b are kept (microagent volume delete NAME deletes one)\n"},
		{[]plan.Change{kept("a"), kept("b"), kept("c"), kept("d")}, "Nothing to do: project p declares no objects; 4 volumes are kept (microagent volume list shows them)\n"},
	} {
		var out bytes.Buffer
		if err := render.Text(&out, &plan.Plan{Project: "p", Changes: c.changes}, render.Options{}); err != nil {
			t.Fatal(err)
		}
		if out.String() != c.want {
			t.Errorf("got %q, want %q", out.String(), c.want)
		}
	}
}

type fullDisk struct{}

var errFull = errors.New("no space left on device")

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }

func TestWriteErrorsComeBack(t *testing.T) {
	p := sample()
	for name, err := range map[string]error{
		"text": render.Text(fullDisk{}, p, render.Options{}), "json": render.JSON(fullDisk{}, p), "graph": render.Graph(fullDisk{}, p, render.Dot),
	} {
		if !errors.Is(err, errFull) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
