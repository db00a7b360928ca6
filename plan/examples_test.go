package plan_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"microagent/plan"
	"microagent/plan/render"
	"microagent/schema"
)

// TestExamples holds the plans that the examples' manifests give, from nothing, from the end of that and to their destroy,
// against testdata/examples.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../examples/*/microagent.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		name := filepath.Base(filepath.Dir(file))
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			m, list := schema.Load("microagent.yaml", data, schema.Options{})
			if m == nil {
				t.Fatal(list.Err())
			}
			var got bytes.Buffer
			st := &stage{sim: newSim(t), opts: plan.Options{Tool: "v0", ManifestPath: "/home/me/p/microagent.yaml"}}
			st.sim.project.Manifest = st.opts.ManifestPath
			for _, destroy := range []bool{false, false, true} {
				st.destroy = destroy
				p, list := st.make(m)
				if err := list.Err(); err != nil {
					t.Fatal(err)
				}
				if err := render.Text(&got, p, render.Options{}); err != nil {
					t.Fatal(err)
				}
				got.WriteString("\n")
				checkPlan(t, p)
				st.sim.apply(p)
			}
			golden := filepath.Join("testdata", "examples", name+".golden")
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil || got.String() != string(want) {
				t.Errorf("%v: got\n%s\nwant\n%s", err, got.String(), want)
			}
		})
	}
}
