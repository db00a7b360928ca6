package schema

import (
	"encoding/json"
	"fmt"
	"strings"

	"cuelang.org/go/encoding/jsonschema"
)

// JSONSchema gives the format as a JSON Schema, draft 7, which is what YAML language servers know best. It says
// less than Load checks: nothing that takes two values.
func JSONSchema() ([]byte, error) {
	ctx, definition, err := definition()
	if err != nil {
		return nil, fmt.Errorf("export the schema: %w", err)
	}
	expr, err := jsonschema.Generate(definition, nil)
	if err != nil {
		return nil, fmt.Errorf("export the schema: %w", err)
	}
	b, err := ctx.BuildExpr(expr).MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("export the schema: %w", err)
	}
	var doc map[string]any
	if err := json.Unmarshal(b, &doc); err != nil {
		return nil, fmt.Errorf("export the schema: %w", err)
	}
	f, err := readFormat(definition)
	if err != nil {
		return nil, fmt.Errorf("export the schema: %w", err)
	}
	doc["definitions"] = doc["$defs"]
	delete(doc, "$defs")
	addDefaults(doc, doc, f)
	doc = draft7(doc).(map[string]any)
	doc["$schema"] = "http://json-schema.org/draft-07/schema#"
	doc["title"] = "microagent.yaml"
	out, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("export the schema: %w", err)
	}
	return append(out, '\n'), nil
}

// draft7 rewrites what differs between draft 2020-12, which CUE exports, and draft 7, as far as our schema has it:
// the place of definitions, and that words beside a $ref count for nothing.
func draft7(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = draft7(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = draft7(v[k])
		}
		ref, isRef := v["$ref"].(string)
		if !isRef {
			break
		}
		v["$ref"] = strings.Replace(ref, "#/$defs/", "#/definitions/", 1)
		if len(v) > 1 {
			v["allOf"] = []any{map[string]any{"$ref": v["$ref"]}}
			delete(v, "$ref")
		}
	}
	return v
}

// addDefaults writes the defaults that the description has as attributes beside the properties they belong to. It
// runs before draft7.
func addDefaults(doc, object map[string]any, f *format) {
	if ref, ok := object["$ref"].(string); ok {
		object = doc["definitions"].(map[string]any)[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
	}
	properties, _ := object["properties"].(map[string]any)
	for name, sub := range f.fields {
		p, ok := properties[name].(map[string]any)
		if !ok {
			continue
		}
		if sub.fallback != "" {
			p["default"] = sub.fallbackValue()
		}
		addDefaults(doc, p, sub)
	}
	patterns, _ := object["patternProperties"].(map[string]any)
	for _, p := range patterns {
		if p, ok := p.(map[string]any); ok && f.elem != nil {
			addDefaults(doc, p, f.elem)
		}
	}
}
