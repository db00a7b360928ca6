package schema

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"gopkg.in/yaml.v3"
)

// TestEditorAcceptsWhatLoadAccepts reads manifests as an editor's language server does: it shows no problem in one
// that is valid. It also finds most problems of the invalid ones.
func TestEditorAcceptsWhatLoadAccepts(t *testing.T) {
	doc := exported(t)
	valid, refused, missed := 0, 0, 0
	check := func(text string) {
		var value any
		if yaml.Unmarshal([]byte(text), &value) != nil {
			return
		}
		problem := editorProblem(t, doc, doc, normal(value))
		switch m, _ := Load("microagent.yaml", []byte(text), Options{}); {
		case m == nil && problem != "":
			refused++
		case m == nil:
			missed++
		case problem != "":
			t.Errorf("%s, in the valid\n%s", problem, text)
		default:
			valid++
		}
	}
	files, _ := filepath.Glob("testdata/*.txtar")
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		check(string(member(a, "microagent.yaml")))
	}
	examples, _ := filepath.Glob("../examples/*/microagent.yaml")
	for _, file := range examples {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		check(string(text))
	}
	check("project: demo\nvolumes:\nworkspaces: {a: {image: x, env: &e {A: 1}}, b: {image: x, env: {<<: *e, B: 2}, mounts: }}\n")
	g := generator{rand.New(rand.NewPCG(3, 4))}
	for range 500 {
		check(g.manifest())
	}
	t.Logf("%d valid, %d refused, %d invalid ones not seen", valid, refused, missed)
	if valid < 50 || refused < missed {
		t.Errorf("%d valid, %d refused, %d invalid ones not seen", valid, refused, missed)
	}
}

// normal gives the value that JSON would have.
func normal(v any) any {
	b, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	var out any
	if json.Unmarshal(b, &out) != nil {
		return nil
	}
	return out
}

// editorProblem checks a value against the words of JSON Schema that our export uses, and fails the test at any
// other.
func editorProblem(t *testing.T, doc, s map[string]any, v any) string {
	t.Helper()
	first := func(found *string, problem string) {
		if *found == "" {
			*found = problem
		}
	}
	var found string
	object, _ := v.(map[string]any)
	number, isNumber := v.(float64)
	for word, arg := range s {
		switch word {
		case "description", "errorMessage", "default", "title", "$schema", "definitions":
		case "$ref":
			name := strings.TrimPrefix(arg.(string), "#/definitions/")
			first(&found, editorProblem(t, doc, doc["definitions"].(map[string]any)[name].(map[string]any), v))
		case "type":
			if !isOfType(arg, v) {
				first(&found, fmt.Sprintf("%v is no %v", v, arg))
			}
		case "pattern":
			if text, ok := v.(string); ok && !regexp.MustCompile(arg.(string)).MatchString(text) {
				first(&found, fmt.Sprintf("%q does not match %v", text, arg))
			}
		case "minimum":
			if isNumber && number < arg.(float64) {
				first(&found, fmt.Sprintf("%v is under %v", v, arg))
			}
		case "maximum":
			if isNumber && number > arg.(float64) {
				first(&found, fmt.Sprintf("%v is over %v", v, arg))
			}
		case "enum":
			if !strings.Contains(fmt.Sprint(arg), fmt.Sprint(v)) {
				first(&found, fmt.Sprintf("%v is none of %v", v, arg))
			}
		case "required":
			for _, name := range arg.([]any) {
				if _, ok := object[name.(string)]; object != nil && !ok {
					first(&found, fmt.Sprintf("no %v", name))
				}
			}
		case "propertyNames":
			for name := range object {
				first(&found, editorProblem(t, doc, arg.(map[string]any), name))
			}
		case "properties":
			for name, sub := range arg.(map[string]any) {
				if inner, ok := object[name]; ok {
					first(&found, editorProblem(t, doc, sub.(map[string]any), inner))
				}
			}
		case "additionalProperties":
			known, _ := s["properties"].(map[string]any)
			for name, inner := range object {
				if sub, ok := arg.(map[string]any); ok {
					first(&found, editorProblem(t, doc, sub, inner))
				} else if known[name] == nil {
					first(&found, "unknown "+name)
				}
			}
		case "items":
			list, _ := v.([]any)
			for _, item := range list {
				first(&found, editorProblem(t, doc, arg.(map[string]any), item))
			}
		case "allOf", "anyOf":
			good := 0
			for _, sub := range arg.([]any) {
				if editorProblem(t, doc, sub.(map[string]any), v) == "" {
					good++
				}
			}
			if good == 0 || word == "allOf" && good < len(arg.([]any)) {
				first(&found, fmt.Sprintf("%v: %s", v, word))
			}
		default:
			t.Fatalf("the export uses %q, which is not checked here", word)
		}
	}
	return found
}

func isOfType(types, v any) bool {
	if list, ok := types.([]any); ok {
		for _, one := range list {
			if isOfType(one, v) {
				return true
			}
		}
		return false
	}
	switch types {
	case "null":
		return v == nil
	case "integer":
		f, ok := v.(float64)
		return ok && f == float64(int64(f))
	}
	return v != nil && reflect.TypeOf(v).String() == map[any]string{"object": "map[string]interface {}",
		"string": "string", "boolean": "bool", "number": "float64", "array": "[]interface {}"}[types]
}
