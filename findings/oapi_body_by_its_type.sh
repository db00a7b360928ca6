#!/usr/bin/env bash
# A client of oapi-codegen passes over a valid answer whose content type is written otherwise, and reports no error.
#
# What one expects: an answer 200 of the described shape is decoded, or there is an error. What happens: the generated code
# looks for "json" in the header as it stands. Without a content type, or with
# "Application/JSON" (names of media types ignore case, RFC 9110 section 8.3.1), the body is kept as bytes, JSON200 is nil
# and err is nil: the next line, which reads a field, panics. A code that the description does not list, 201 for one, comes
# out the same way. And {} or null for an object with a required field give the object with that field empty.
#
# Seen with oapi-codegen v2.8.2 and its runtime v1.8.0. It needs Go and bash.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.26.0

tool github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen

require (
	github.com/oapi-codegen/oapi-codegen/v2 v2.8.2
	github.com/oapi-codegen/runtime v1.8.0
)
MOD
cat >api.yaml <<'YAML'
openapi: 3.0.3
info: {title: machine, version: "1"}
paths:
  /info:
    get:
      operationId: info
      responses:
        "200":
          description: its state
          content:
            application/json:
              schema: {$ref: "#/components/schemas/Info"}
components:
  schemas:
    Info:
      type: object
      required: [state]
      properties:
        state: {type: string}
YAML
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"

	"finding/api"
)

// ask gives what the client makes of an answer.
func ask(code int, kind, body string) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = nil
		if kind != "" {
			w.Header().Set("Content-Type", kind)
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}))
	defer s.Close()
	c, err := api.NewClientWithResponses(s.URL)
	if err != nil {
		return err.Error()
	}
	r, err := c.InfoWithResponse(context.Background())
	switch {
	case err != nil:
		return "error"
	case r.JSON200 == nil:
		return "nil"
	}
	return fmt.Sprintf("state %q", r.JSON200.State)
}

func main() {
	changed := false
	for _, row := range []struct {
		code             int
		kind, body, want string
	}{
		{200, "application/json", `{"state": "Running"}`, `state "Running"`},
		{200, "", `{"state": "Running"}`, "nil"},
		{200, "Application/JSON", `{"state": "Running"}`, "nil"},
		{201, "application/json", `{"state": "Running"}`, "nil"},
		{200, "application/json", `{}`, `state ""`},
		{200, "application/json", `null`, `state ""`},
	} {
		got := ask(row.code, row.kind, row.body)
		fmt.Printf("%d, type %q, body %s: %s\n", row.code, row.kind, row.body, got)
		changed = changed || got != row.want
	}
	if changed {
		os.Exit(1)
	}
}
GO
mkdir api
echo "package api" >api/doc.go
go mod tidy >/dev/null 2>&1
go tool oapi-codegen -generate types,client -package api -o api/client.gen.go api.yaml
go mod tidy >/dev/null 2>&1
echo "oapi-codegen $(go list -m -f '{{.Version}}' github.com/oapi-codegen/oapi-codegen/v2)"
go run .
