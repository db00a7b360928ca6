#!/usr/bin/env bash
# The library with which container runtimes look up users refuses ids that Linux has.
#
# What one expects: a uid is 32 bits, so that 4294967294 is one; files of such an owner exist, and "user: 4294967294" means
# it. What happens: user.GetExecUser takes numbers from 0 to 2147483647 and refuses the rest, also where no passwd is asked.
# Who swaps a passwd reader of his own for this library loses half of the ids.
#
# Seen with github.com/moby/sys/user v0.4.0. It needs Go and bash.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.25.0

require github.com/moby/sys/user v0.4.0
MOD
cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/moby/sys/user"
)

func main() {
	changed := false
	for spec, want := range map[string]bool{"2147483647": true, "2147483648": false, "4294967294": false} {
		u, err := user.GetExecUser(spec, nil, strings.NewReader(""), strings.NewReader(""))
		if err == nil {
			fmt.Printf("%s: uid %d\n", spec, u.Uid)
		} else {
			fmt.Printf("%s: %v\n", spec, err)
		}
		changed = changed || (err == nil) != want
	}
	if changed {
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1
echo "github.com/moby/sys/user $(go list -m -f '{{.Version}}' github.com/moby/sys/user)"
go run .
