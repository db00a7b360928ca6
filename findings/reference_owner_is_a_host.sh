#!/usr/bin/env bash
# An owner that is written as GitHub shows it makes the reference one of another registry.
#
# What one expects: the host of a reference is a first part with a dot or a colon, or localhost; all else is Docker Hub's, and
# capital letters in a name are an error ("must be lowercase"). What happens: a first part with a capital letter is a host
# too, so that MyOrg/app parses, without an error, as what a registry called MyOrg has, while myorg/app is docker.io's and
# MyOrg alone or myorg/App are refused. A check that goes by this parse passes the name on, and the user hears of a host that
# is not found, when the image is wanted at last.
#
# Seen with github.com/distribution/reference v0.6.0. It needs Go and bash.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.25.0

require github.com/distribution/reference v0.6.0
MOD
cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"

	"github.com/distribution/reference"
)

func main() {
	changed := false
	for _, row := range []struct{ text, host, path string }{
		{"myorg/app:1", "docker.io", "myorg/app"},
		{"MyOrg/app:1", "MyOrg", "app"},
		{"myOrg/sub/app", "myOrg", "sub/app"},
		{"LOCALHOST/app", "LOCALHOST", "app"},
		{"MyOrg", "", ""},
		{"myorg/App", "", ""},
	} {
		var host, path string
		named, err := reference.ParseNormalizedNamed(row.text)
		if err == nil {
			host, path = reference.Domain(named), reference.Path(named)
			fmt.Printf("%s: %s of the host %s\n", row.text, path, host)
		} else {
			fmt.Printf("%s: %v\n", row.text, err)
		}
		changed = changed || host != row.host || path != row.path
	}
	if changed {
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1
echo "github.com/distribution/reference $(go list -m -f '{{.Version}}' github.com/distribution/reference)"
go run .
