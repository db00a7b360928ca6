package schema

import (
	"encoding/json"
	"path"
	"strings"
	"testing"
)

func exported(t *testing.T) map[string]any {
	t.Helper()
	b, err := JSONSchema()
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// walk visits every schema below v, with its path.
func walk(at string, v any, visit func(at string, s map[string]any)) {
	s, ok := v.(map[string]any)
	if !ok {
		return
	}
	visit(at, s)
	for _, group := range []string{"properties", "patternProperties", "definitions"} {
		if subs, ok := s[group].(map[string]any); ok {
			for name, sub := range subs {
				walk(at+"/"+group+"/"+name, sub, visit)
			}
		}
	}
	for _, one := range []string{"items", "additionalProperties", "not"} {
		walk(at+"/"+one, s[one], visit)
	}
	for _, many := range []string{"allOf", "anyOf", "oneOf"} {
		if subs, ok := s[many].([]any); ok {
			for _, sub := range subs {
				walk(at+"/"+many, sub, visit)
			}
		}
	}
}

// An open object lets an editor accept a misspelt key in silence.
func TestJSONSchemaIsClosed(t *testing.T) {
	objects := 0
	walk("", exported(t), func(at string, s map[string]any) {
		_, properties := s["properties"]
		_, keys := s["propertyNames"]
		if s["type"] != "object" && !properties && !keys {
			return
		}
		objects++
		if s["additionalProperties"] != false && !keys {
			t.Errorf("%s is open", at)
		}
	})
	if objects < 13 {
		t.Errorf("only %d objects found", objects)
	}
}

func TestJSONSchemaDescribesEverything(t *testing.T) {
	properties := 0
	walk("", exported(t), func(at string, s map[string]any) {
		switch path.Base(path.Dir(at)) {
		case "properties", "definitions":
			properties++
			if d, _ := s["description"].(string); d == "" {
				t.Errorf("%s has no description", at)
			}
		}
	})
	if properties < 40 {
		t.Errorf("only %d properties found", properties)
	}
}

// Draft 7 ignores what stands beside a $ref and knows no $defs.
func TestJSONSchemaIsDraft7(t *testing.T) {
	doc := exported(t)
	if doc["$schema"] != "http://json-schema.org/draft-07/schema#" {
		t.Errorf("$schema is %v", doc["$schema"])
	}
	definitions := doc["definitions"].(map[string]any)
	refs := 0
	walk("", doc, func(at string, s map[string]any) {
		if _, ok := s["$defs"]; ok {
			t.Errorf("%s has $defs", at)
		}
		ref, ok := s["$ref"].(string)
		if !ok {
			return
		}
		refs++
		if len(s) > 1 {
			t.Errorf("%s has words beside $ref: %v", at, s)
		}
		if definitions[strings.TrimPrefix(ref, "#/definitions/")] == nil {
			t.Errorf("%s refers to %s, which is not there", at, ref)
		}
	})
	if refs == 0 {
		t.Error("no $ref found")
	}
	memory := definitions["Workspace"].(map[string]any)["properties"].(map[string]any)["memory"].(map[string]any)
	if memory["default"] != "256MiB" || memory["type"] != "string" || memory["description"] == "" ||
		memory["errorMessage"] != "write a whole number and a unit, such as 512MiB or 1GiB" {
		t.Errorf("memory is %v", memory)
	}
}
