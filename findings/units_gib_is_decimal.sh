#!/usr/bin/env bash
# A size that says GiB is read as a decimal one.
#
# What one expects: of two readers of sizes in one library, the one that counts in powers of 1000 refuses "1GiB" or takes it
# for what the unit means, 2^30. What happens: units.FromHumanSize takes the i as an ornament and gives 1,000,000,000, and
# units.RAMInBytes gives 2^30 for "1GB", so that neither text nor unit says which it is. A disk of "1GiB" that is made with
# the first is 7 % too small for an image of 1 GiB; docker and compose read memory with the second.
#
# Seen with github.com/docker/go-units v0.5.0. It needs Go and bash.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.25.0

require github.com/docker/go-units v0.5.0
MOD
cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"

	"github.com/docker/go-units"
)

func main() {
	changed := false
	for _, text := range []string{"1GiB", "1GB", "1g"} {
		size, err := units.FromHumanSize(text)
		memory, ramErr := units.RAMInBytes(text)
		fmt.Printf("%s: FromHumanSize %d, %v; RAMInBytes %d, %v\n", text, size, err, memory, ramErr)
		changed = changed || size != 1_000_000_000 || memory != 1<<30
	}
	if changed {
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1
echo "github.com/docker/go-units $(go list -m -f '{{.Version}}' github.com/docker/go-units)"
go run .
