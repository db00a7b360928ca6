#!/usr/bin/env bash
# An .xz file that was cut between two of its blocks reads to its end without an error.
#
# What one expects: a stream without its index and footer is not whole, and a reader says so, as xz does ("Unexpected end
# of input"). What happens: ulikunitz/xz gives the blocks that are there and then io.EOF, so that a half-fetched file of
# several blocks (xz -T0, xz --block-size) passes for a whole one. A size or a checksum has to be compared beside it.
#
# Seen with github.com/ulikunitz/xz v0.5.17. It needs Go, bash and xz-utils.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.25.0

require github.com/ulikunitz/xz v0.5.17
MOD
cat >main.go <<'GO'
package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/ulikunitz/xz"
)

func main() {
	whole, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	end, err := strconv.Atoi(os.Args[2])
	if err != nil {
		panic(err)
	}
	r, err := xz.NewReader(bytes.NewReader(whole[:end]))
	if err != nil {
		panic(err)
	}
	n, err := io.Copy(io.Discard, r)
	fmt.Printf("%d of %d bytes of the file: %d bytes come, error %v\n", end, len(whole), n, err)
	if err != nil || n != 65536 {
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1
head -c 131072 /dev/zero >two
xz -k --block-size=65536 two
# the second block begins where xz says
second=$(xz --robot -lv two.xz | awk '$1 == "block" && $2 == 1 && $3 == 2 {print $5}')
echo "github.com/ulikunitz/xz $(go list -m -f '{{.Version}}' github.com/ulikunitz/xz), $(xz --version | head -n 1)"
go run . two.xz "$second"
head -c "$second" two.xz >cut.xz
if xz -t cut.xz 2>said; then echo "xz takes it as well"; exit 1; fi
echo "xz: $(sed 's/^xz: //' said)"
