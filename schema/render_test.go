package schema_test

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"microagent/schema"
	"microagent/schema/diag"
	"microagent/schema/printable"
)

// TestRenderMeansTheSame: every manifest of testdata that is valid means the same when it is rendered, and rendering that
// again changes nothing.
func TestRenderMeansTheSame(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	more, err2 := filepath.Glob("../plan/testdata/*.txtar")
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	valid := 0
	for _, file := range append(files, more...) {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range a.Files {
			if !strings.HasSuffix(f.Name, ".yaml") {
				continue
			}
			if m, _ := schema.Load("m.yaml", f.Data, schema.Options{}); m != nil {
				valid++
				rendersTheSame(t, file+":"+f.Name, f.Data, m)
			}
		}
	}
	if valid < 50 {
		t.Errorf("only %d manifests were valid", valid)
	}
}

func rendersTheSame(t *testing.T, name string, data []byte, m *schema.Manifest) {
	t.Helper()
	got, list := schema.Render("m.yaml", data, schema.Options{}, "")
	if list.Errors() {
		t.Fatalf("%s: %v", name, list.Err())
	}
	again, list := schema.Load("m.yaml", got, schema.Options{})
	if list.Errors() {
		t.Fatalf("%s: %v\n%s", name, list.Err(), got)
	}
	if !reflect.DeepEqual(withoutPlaces(m), withoutPlaces(again)) {
		t.Errorf("%s: %+v became %+v through\n%s", name, m, again, got)
	}
	twice, _ := schema.Render("m.yaml", got, schema.Options{}, "")
	if string(twice) != string(got) {
		t.Errorf("%s: rendered twice it is\n%s\nand once\n%s", name, twice, got)
	}
}

// TestRenderShowsNothingToATerminal: whatever a manifest holds comes back, and none of it as a terminal would act on it.
func TestRenderShowsNothingToATerminal(t *testing.T) {
	for _, odd := range []string{`\e[31m`, `\u202e`, `\U000e0041`, `\u2028x`, `\t tab`, `a\u00ad`, `\x9b`, `line\n  two \n`, `'`, `# no`, `\\u202e`, ` `, ``, `~`, `0o17`, `1e3`, `=`, `<<`, `2001-01-01`, `- a`, `? a`, `&a`, `*a`, `!a`, `%a`, `@a`} {
		data := "project: p\nworkspaces:\n  w:\n    image: docker.io/library/alpine:3.20\n    env: {A: \"" + odd + "\"}\n    task: [\"" + odd + "x\"]\n"
		m, list := schema.Load("m.yaml", []byte(data), schema.Options{})
		if m == nil {
			t.Fatalf("%s: %v", odd, list.Err())
		}
		rendersTheSame(t, odd, []byte(data), m)
		got, _ := schema.Render("m.yaml", []byte(data), schema.Options{}, "")
		if at := strings.IndexFunc(strings.ReplaceAll(string(got), "\n", ""), printable.Hidden); at >= 0 {
			t.Errorf("%s: %q is as it was", odd, got)
		}
	}
}

// withoutPlaces clears each diag.Pos below m.
func withoutPlaces(m *schema.Manifest) any {
	v := reflect.New(reflect.TypeOf(*m)).Elem()
	v.Set(reflect.ValueOf(*m))
	return clearPlaces(v).Interface()
}

func clearPlaces(v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	out.Set(v)
	switch {
	case v.Type() == reflect.TypeFor[diag.Pos]():
		out.SetZero()
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			out.Field(i).Set(clearPlaces(v.Field(i)))
		}
	case v.Kind() == reflect.Slice && v.Len() > 0:
		out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		for i := range v.Len() {
			out.Index(i).Set(clearPlaces(v.Index(i)))
		}
	case v.Kind() == reflect.Map && v.Len() > 0:
		out.Set(reflect.MakeMap(v.Type()))
		for _, k := range v.MapKeys() {
			out.SetMapIndex(k, clearPlaces(v.MapIndex(k)))
		}
	}
	return out
}

func TestRender(t *testing.T) {
	got, list := schema.Render("m.yaml", []byte(`# a comment
workspaces:
  a: &base
    task: [sh, -c, "echo 'a: b'\nexit 0"]
    image: docker.io/library/alpine:3.20
    env: {NO: "no", ONE: "1", PLAIN: text}
  b:
    <<: *base
    memory: 512MiB
project: shop
`), schema.Options{}, "other")
	if list.Err() != nil {
		t.Fatal(list.Err())
	}
	const want = `project: other
workspaces:
  a:
    image: docker.io/library/alpine:3.20
    cpus: 1
    memory: 256MiB
    disk: 1GiB
    env:
      "NO": "no"
      ONE: "1"
      PLAIN: text
    task: [sh, -c, "echo 'a: b'\nexit 0"]
    stopGrace: 10s
    desired: running
    isolation: any
    boot: template
  b:
    image: docker.io/library/alpine:3.20
    cpus: 1
    memory: 512MiB
    disk: 1GiB
    env:
      "NO": "no"
      ONE: "1"
      PLAIN: text
    task: [sh, -c, "echo 'a: b'\nexit 0"]
    stopGrace: 10s
    desired: running
    isolation: any
    boot: template
`
	if string(got) != want {
		t.Errorf("got\n%s", got)
	}
	if got, list := schema.Render("m.yaml", []byte("project: [1]\n"), schema.Options{}, ""); got != nil || !list.Errors() {
		t.Errorf("an invalid manifest gave %q, %v", got, list.Err())
	}
}
