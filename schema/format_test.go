package schema

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"microagent/schema/spec"
)

// TestFormatMatchesTypes checks that the description and the Go types have the same fields, so that none of the two
// can grow alone.
func TestFormatMatchesTypes(t *testing.T) {
	_, definition, err := definition()
	if err != nil {
		t.Fatal(err)
	}
	f, err := readFormat(definition)
	if err != nil {
		t.Fatal(err)
	}
	same := func(f *format, v any) {
		var goFields []string
		for _, sf := range reflect.VisibleFields(reflect.TypeOf(v)) {
			if !sf.Anonymous && !strings.HasSuffix(sf.Name, "Pos") {
				goFields = append(goFields, strings.ToLower(sf.Name))
			}
		}
		var cueFields []string
		for name := range maps.Keys(f.fields) {
			cueFields = append(cueFields, strings.ToLower(name))
		}
		slices.Sort(goFields)
		slices.Sort(cueFields)
		if !slices.Equal(goFields, cueFields) {
			t.Errorf("%T has %v, the description %v", v, goFields, cueFields)
		}
	}
	same(f, Manifest{})
	same(f.fields["volumes"].elem, Volume{})
	same(f.fields["bundles"].elem, Bundle{})
	same(f.fields["disks"].elem, Disk{})
	same(f.fields["workspaces"].elem, Workspace{})
	same(f.fields["workspaces"].elem.fields["mounts"].elem, Mount{})
	same(f.fields["workspaces"].elem.fields["ready"], spec.Ready{})
	same(f.fields["outputs"].elem, Output{})
}

// TestFormatIsWorded checks that messages have words for every value, and that every default is one that the format
// accepts.
func TestFormatIsWorded(t *testing.T) {
	ctx, definition, err := definition()
	if err != nil {
		t.Fatal(err)
	}
	root, err := readFormat(definition)
	if err != nil {
		t.Fatal(err)
	}
	c := constraints{ctx}
	var visit func(at address, f *format)
	visit = func(at address, f *format) {
		if f == nil {
			return
		}
		if f.wanted() == "" || f.text() && f.want == "" || f.key != nil && f.keyWant == "" {
			t.Errorf("%v has no words", at)
		}
		if f.fallback != "" && c.holds(f, f.fallbackValue()) != nil {
			t.Errorf("the default %q of %v is not valid", f.fallback, at)
		}
		for name, sub := range f.fields {
			visit(at.with(name), sub)
		}
		visit(at.with("*"), f.elem)
	}
	visit(nil, root)
	for text, key := range map[string]string{"memroy": "memory", "stop-grace": "stopGrace", "zzz": "", "CPUS": "cpus"} {
		if got := closest(text, root.fields["workspaces"].elem.order); got != key {
			t.Errorf("closest to %s is %q, want %q", text, got, key)
		}
	}
	for where, keys := range advice {
		f := root
		for _, sub := range []*format{root.fields["volumes"], root.fields["bundles"], root.fields["disks"],
			root.fields["workspaces"], root.fields["workspaces"].elem.fields["mounts"], root.fields["workspaces"].elem.fields["ports"], root.fields["outputs"]} {
			if sub.elem.name == where {
				f = sub.elem
			}
		}
		network := root.fields["workspaces"].elem.fields["network"]
		for _, sub := range []*format{root.fields["workspaces"].elem.fields["ready"], network, network.fields["allow"].elem} {
			if sub.name == where {
				f = sub
			}
		}
		if f == root && where != "" {
			t.Errorf("advice for %s, which is no definition", where)
		}
		for wrong, right := range keys {
			key, isKey := strings.CutPrefix(right, "=")
			if f.fields[wrong] != nil || isKey && f.fields[key] == nil {
				t.Errorf("advice for %s.%s: %s", where, wrong, right)
			}
		}
	}
}
