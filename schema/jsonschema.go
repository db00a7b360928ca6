package schema

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"cuelang.org/go/cue"
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
	e := &editorSchema{defs: doc["$defs"].(map[string]any), structs: map[string]any{}}
	delete(doc, "$defs")
	e.fields(doc, f)
	doc["definitions"] = e.structs
	doc["$schema"] = "http://json-schema.org/draft-07/schema#"
	doc["title"] = "microagent.yaml"
	out, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("export the schema: %w", err)
	}
	return append(out, '\n'), nil
}

// editorSchema turns what CUE exports, draft 2020-12, into what shows well in an editor. A scalar stands whole where
// it is used: beside a $ref words count for nothing in draft 7, and behind one a language server finds neither the
// field's own description nor what to insert.
type editorSchema struct {
	defs    map[string]any // of CUE's export
	structs map[string]any // definitions of ours
}

func (e *editorSchema) value(s map[string]any, f *format) map[string]any {
	if d, ok := s["description"].(string); ok {
		s["description"] = unwrap(d)
	}
	switch f.kind {
	case cue.StructKind:
		return e.structValue(s, f)
	case cue.ListKind:
		s["items"] = e.value(s["items"].(map[string]any), f.elem)
		return s
	}
	return e.scalar(s, f)
}

func (e *editorSchema) structValue(s map[string]any, f *format) map[string]any {
	if f.key != nil {
		return e.mapValue(s, f)
	}
	name := strings.TrimPrefix(f.name, "#")
	if e.structs[name] == nil {
		e.structs[name] = e.fields(e.defs[name].(map[string]any), f)
	}
	ref := map[string]any{"$ref": "#/definitions/" + name}
	if about, ok := s["description"]; ok { // the field's own
		return map[string]any{"description": about, "allOf": []any{ref}}
	}
	return ref
}

func (e *editorSchema) fields(s map[string]any, f *format) map[string]any {
	s["description"] = unwrap(s["description"].(string))
	properties := s["properties"].(map[string]any)
	for name, sub := range f.fields {
		properties[name] = e.value(properties[name].(map[string]any), sub)
	}
	return s
}

// mapValue has a wrong key answered with what a key may be. A map may be empty, and may merge another: language
// servers check the merge key as it is written.
func (e *editorSchema) mapValue(s map[string]any, f *format) map[string]any {
	for pattern, elem := range s["patternProperties"].(map[string]any) {
		s["additionalProperties"] = e.value(elem.(map[string]any), f.elem)
		s["propertyNames"] = map[string]any{"pattern": pattern + "|^<<$", "errorMessage": "write " + f.keyWant}
	}
	delete(s, "patternProperties")
	s["type"] = []any{"object", "null"}
	return s
}

func (e *editorSchema) scalar(s map[string]any, f *format) map[string]any {
	if ref, ok := s["$ref"].(string); ok {
		whole := maps.Clone(e.defs[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any))
		delete(s, "$ref")
		maps.Copy(whole, s)
		s = whole
	}
	s = merge(s)
	if len(f.enum) > 0 {
		s["type"] = "string"
	} else {
		explain(s, "write "+f.wanted())
	}
	if f.fallback != "" {
		s["default"] = f.fallbackValue()
	}
	return s
}

// merge makes one schema of those that all hold, when they are of one kind and ask for different things.
func merge(s map[string]any) map[string]any {
	s = maps.Clone(s)
	if alternatives, ok := s["anyOf"].([]any); ok {
		merged := make([]any, len(alternatives))
		for i, sub := range alternatives {
			merged[i] = merge(sub.(map[string]any))
		}
		s["anyOf"] = merged
	}
	all, _ := s["allOf"].([]any)
	one := maps.Clone(s)
	delete(one, "allOf")
	for _, sub := range all {
		for k, v := range merge(sub.(map[string]any)) {
			if had, ok := one[k]; ok && had != v && (k != "type" || had != "number" || v != "integer") {
				return s
			}
			one[k] = v
		}
	}
	return one
}

// explain sets what a language server says of a value that does not fit.
func explain(s map[string]any, message string) {
	s["errorMessage"] = message
	for _, group := range []string{"allOf", "anyOf"} {
		subs, _ := s[group].([]any)
		for _, sub := range subs {
			explain(sub.(map[string]any), message)
		}
	}
}

// unwrap takes the line breaks of the description's source out of a paragraph.
func unwrap(text string) string { return strings.ReplaceAll(text, "\n", " ") }
