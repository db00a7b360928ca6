#!/usr/bin/env bash
# A gzip file with zeros behind it, which gzip unpacks without a word, is refused by Go's readers after all its bytes.
#
# What one expects: what came from a tape, a block device or dd conv=sync is padded with zeros, and gzip(1) ignores
# them. What happens: compress/gzip and klauspost's take the padding for the
# next member and end with "gzip: invalid header", when the whole content has been given already; so a caller that stops at
# the end of an archive inside never learns it, and one that reads to the end refuses the file.
#
# Seen with github.com/klauspost/compress v1.20.4, Go's compress/gzip and GNU gzip. It needs Go, bash and gzip.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.25.0

require github.com/klauspost/compress v1.20.4
MOD
cat >main.go <<'GO'
package main

import (
	standard "compress/gzip"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"
)

func main() {
	changed := false
	for name, open := range map[string]func(io.Reader) (io.Reader, error){
		"compress/gzip":  func(r io.Reader) (io.Reader, error) { return standard.NewReader(r) },
		"klauspost/gzip": func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
	} {
		file, err := os.Open("padded.gz")
		if err != nil {
			panic(err)
		}
		r, err := open(file)
		if err != nil {
			panic(err)
		}
		text, err := io.ReadAll(r)
		fmt.Printf("%s: %q, %v\n", name, text, err)
		changed = changed || string(text) != "content" || err == nil
		_ = file.Close()
	}
	if changed {
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1
echo "github.com/klauspost/compress $(go list -m -f '{{.Version}}' github.com/klauspost/compress), $(go env GOVERSION), $(gzip --version | head -n 1)"
printf content | gzip | dd bs=512 conv=sync status=none >padded.gz
text=$(gzip -dc padded.gz)
echo "gzip: $text, status $?"
[ "$text" = content ]
go run .
