package spec

import (
	"reflect"
	"strings"
	"testing"
)

// TestTextsHasEveryText: a field that Texts lacks would be read from no manifest and compared by no plan.
func TestTextsHasEveryText(t *testing.T) {
	var g Guest
	v := reflect.ValueOf(&g).Elem()
	for i := range v.NumField() {
		if v.Field(i).Kind() == reflect.String {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			v.Field(i).SetString(name)
		}
	}
	seen := map[string]bool{}
	for _, text := range g.Texts() {
		if *text.Value != text.Key || seen[text.Key] {
			t.Errorf("the row of %s is of the field %q, or not the only one", text.Key, *text.Value)
		}
		seen[text.Key] = true
	}
	for i := range v.NumField() {
		if name := v.Field(i).String(); v.Field(i).Kind() == reflect.String && !seen[name] {
			t.Errorf("Texts has no row for %s", name)
		}
	}
}
