#!/usr/bin/env bash
# Names of signals that an image's STOPSIGNAL may have are unknown to golang.org/x/sys/unix.
#
# What one expects: unix.SignalNum knows the names of signal(7). What happens: it gives 0 for SIGCLD, SIGPOLL, SIGIOT and the
# real-time signals (SIGRTMIN+3 stops systemd), which kill -l, docker and images use. A runtime that refuses what it does not
# know can't start such an image at all.
#
# Seen with golang.org/x/sys v0.49.0. It needs Go and bash.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.25.0

require golang.org/x/sys v0.49.0
MOD
cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func main() {
	changed := false
	for _, name := range []string{"SIGTERM", "SIGSTKFLT", "SIGCLD", "SIGPOLL", "SIGIOT", "SIGRTMIN", "SIGRTMIN+3"} {
		n := unix.SignalNum(name)
		fmt.Printf("%s: %d\n", name, n)
		known := name == "SIGTERM" || name == "SIGSTKFLT"
		changed = changed || (n != 0) != known
	}
	if changed {
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1
echo "golang.org/x/sys $(go list -m -f '{{.Version}}' golang.org/x/sys)"
go run .
