package plan_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"microagent/plan"
	"microagent/plan/observed"
	"microagent/plan/render"
	"microagent/schema"
)

var update = flag.Bool("update", false, "write the goldens anew")

// TestGolden goes through testdata/*.txtar: "before.yaml", if there is one, is applied to an empty world; the lines of
// "world" happen to it; "after.yaml" (before.yaml when it is missing) is planned; what people are told is "plan",
// and what programs are told "json". When there are no errors, the plan is applied, and the next one has to be empty.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no testdata: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { golden(t, file) })
	}
}

func golden(t *testing.T, file string) {
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string]string{}
	for _, f := range a.Files {
		parts[f.Name] = string(f.Data)
	}
	st := &stage{sim: newSim(t), opts: plan.Options{Tool: "v0", ManifestPath: "/home/me/p/microagent.yaml"}}
	st.sim.project.Manifest = st.opts.ManifestPath
	if text, ok := parts["before.yaml"]; ok {
		p, list := plan.Make(load(t, text), st.sim.observe(load(t, text)), st.opts)
		if err := list.Err(); err != nil {
			t.Fatalf("before.yaml: %v", err)
		}
		st.sim.apply(p)
	}
	for _, line := range strings.Split(strings.TrimSpace(parts["world"]), "\n") {
		st.happen(t, strings.Fields(line))
	}
	text, ok := parts["after.yaml"]
	if !ok {
		text = parts["before.yaml"]
	}
	m := load(t, text)
	p, list := st.make(m)
	var got bytes.Buffer
	if err := render.Text(&got, p, st.render); err != nil {
		t.Fatal(err)
	}
	if err := list.WriteText(&got, 0); err != nil {
		t.Fatal(err)
	}
	checkPlan(t, p)
	if !list.Errors() {
		st.sim.apply(p)
		st.opts.Rerun, st.opts.MoveHere, st.opts.AllowDataLoss = nil, false, nil
		if again, list := st.make(m); !again.Empty() || list.Err() != nil {
			var b bytes.Buffer
			_ = render.Text(&b, again, render.Options{})
			t.Errorf("the plan after the apply is not empty: %v\n%s", list.Err(), b.String())
		}
	}
	if *update {
		files := a.Files[:0]
		for _, f := range a.Files {
			if f.Name != "plan" && f.Name != "json" {
				files = append(files, f)
			}
		}
		a.Files = append(files, txtar.File{Name: "plan", Data: got.Bytes()})
		a.Files = append(a.Files, txtar.File{Name: "json", Data: []byte(shownJSON(t, p))})
		if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want := parts["plan"]; got.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", got.String(), want)
	}
	if got := shownJSON(t, p); got != parts["json"] {
		t.Errorf("got:\n%s\nwant:\n%s", got, parts["json"])
	}
}

// shownJSON is what plan --json says: a line of what it comes to, then one for each change that does something.
func shownJSON(t *testing.T, p *plan.Plan) string {
	t.Helper()
	var whole bytes.Buffer
	if err := render.JSON(&whole, p); err != nil {
		t.Fatal(err)
	}
	type code struct {
		Code string `json:"code"`
	}
	var doc struct {
		Empty    bool `json:"empty"`
		Refusals []code
		Warnings []code
		Summary  map[string]any
		Changes  []struct {
			Address json.RawMessage `json:"address"`
			Action  plan.Action     `json:"action"`
			Danger  plan.Danger     `json:"danger,omitempty"`
			Deps    json.RawMessage `json:"deps,omitempty"`
			After   json.RawMessage `json:"after,omitempty"`
			If      json.RawMessage `json:"if,omitempty"`
			Writers []string        `json:"writers,omitempty"`
			Fields  []struct {
				Path   string          `json:"path"`
				Effect observed.Effect `json:"effect,omitempty"`
				Why    string          `json:"why,omitempty"`
			} `json:"fields,omitempty"`
			Publish  bool `json:"publish,omitempty"`
			Permit   bool `json:"permit,omitempty"`
			GrowRoot bool `json:"grow_root,omitempty"`
			SetEnv   bool `json:"set_env,omitempty"`
			Resize   bool `json:"resize,omitempty"`
			Mount    bool `json:"mount,omitempty"`
		} `json:"changes"`
	}
	if err := json.Unmarshal(whole.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(doc.Summary, func(_ string, v any) bool { return v == 0.0 })
	var lines strings.Builder
	head := struct {
		Empty    bool           `json:"empty"`
		Refusals []code         `json:"refusals,omitempty"`
		Warnings []code         `json:"warnings,omitempty"`
		Summary  map[string]any `json:"summary"`
	}{doc.Empty, doc.Refusals, doc.Warnings, doc.Summary}
	first, err := json.Marshal(head)
	if err != nil {
		t.Fatal(err)
	}
	lines.Write(append(first, '\n'))
	for _, c := range doc.Changes {
		if c.Action == plan.ActionNone || c.Action == plan.ActionKeep {
			continue
		}
		line, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		lines.Write(append(line, '\n'))
	}
	return lines.String()
}

func load(t testing.TB, text string) *schema.Manifest {
	t.Helper()
	m, list := schema.Load("microagent.yaml", []byte(text), schema.Options{})
	if m == nil {
		t.Fatalf("manifest: %v", list.Err())
	}
	return m
}
