package schema

import (
	"math/rand/v2"
	"slices"
	"testing"

	"cuelang.org/go/cue"
	"cuelang.org/go/encoding/yaml"
	yamlv3 "gopkg.in/yaml.v3"

	"microagent/schema/diag"
)

// The checks that CUE can't make, which the oracle leaves out of the comparison.
var onlyInGo = []string{"dangling_reference", "conflict", "sharing_conflict", "mount_conflict", "mount_forbidden",
	"output_conflict", "output_without_task", "path_outside", "never_so_far", "circle"}

// TestOracle holds the loader against CUE itself: a manifest is accepted exactly when CUE accepts the whole file,
// but for the checks that are made in Go only.
func TestOracle(t *testing.T) {
	const rounds = 3000
	g := generator{rand.New(rand.NewPCG(1, 2))}
	accepted, refused := 0, 0
	for range rounds {
		text := g.manifest()
		want := unifies(t, text)
		got := conforms(t, text)
		if want == nil {
			accepted++
		} else {
			refused++
		}
		if (want == nil) != (len(got) == 0) {
			t.Fatalf("CUE says %v, the loader says %v, of\n%s", want, got, text)
		}
	}
	t.Logf("%d accepted, %d refused", accepted, refused)
	if accepted < rounds/20 || refused < rounds/20 {
		t.Errorf("the manifests are too much alike: %d accepted, %d refused", accepted, refused)
	}
}

// unifies has CUE read and check the whole text.
func unifies(t *testing.T, text string) error {
	t.Helper()
	file, err := yaml.Extract("microagent.yaml", text)
	if err != nil {
		return err
	}
	ctx, definition, err := definition()
	if err != nil {
		t.Fatal(err)
	}
	return definition.Unify(ctx.BuildFile(file)).Validate(cue.All(), cue.Concrete(true), cue.Final())
}

// conforms gives what the loader reports and CUE could have.
func conforms(t *testing.T, text string) []diag.Diagnostic {
	t.Helper()
	_, list := Load("microagent.yaml", []byte(text), Options{})
	return slices.DeleteFunc(list.All(), func(d diag.Diagnostic) bool {
		if d.Severity == diag.Warning || slices.Contains(onlyInGo, d.Code) {
			return true
		}
		return goOnly(d)
	})
}

// goOnly tells the diagnostics whose code CUE's problems have as well.
func goOnly(d diag.Diagnostic) bool {
	switch d.Code {
	case "missing_field":
		return d.Next == "add volume: NAME, bundle: NAME or disk: NAME" ||
			d.Next == `add size: 1GiB, or external: true for a volume made with "volume create"`
	case "bad_value":
		return slices.Contains([]string{"write 128MiB or more", "write 5MiB or more", "write 128TiB or less", "name the file or directory that the task leaves",
			"close the bracket, or write \\[ for one that is meant as it is"}, d.Next)
	}
	return false
}

// TestOneParser checks that CUE's YAML parser and ours agree on what the loader takes as it is written.
func TestOneParser(t *testing.T) {
	for _, text := range []string{"a: 0755", "a: yes", "a: 1_000", "a: 0x1F", "a: 1e3", "a: 2026-01-02", "a: ~"} {
		var ours yamlv3.Node
		if err := yamlv3.Unmarshal([]byte(text), &ours); err != nil {
			t.Fatal(err)
		}
		file, err := yaml.Extract("x", text)
		if err != nil {
			t.Fatal(err)
		}
		ctx, _, err := definition()
		if err != nil {
			t.Fatal(err)
		}
		kind := ctx.BuildFile(file).LookupPath(cue.ParsePath("a")).Kind()
		tag := ours.Content[0].Content[1].ShortTag()
		want := map[string]cue.Kind{"!!int": cue.IntKind, "!!str": cue.StringKind, "!!float": cue.FloatKind,
			"!!timestamp": cue.StringKind, "!!null": cue.NullKind, "!!bool": cue.BoolKind}[tag]
		if kind != want {
			t.Errorf("%s is %s to us and %v to CUE", text, tag, kind)
		}
	}
}
