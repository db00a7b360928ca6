#!/usr/bin/env bash
# The flattened tar of an image has hard links before the files that they are links to.
#
# What one expects: mutate.Extract (crane export) gives one tar of all layers that any tar program extracts, as docker export
# does. What happens: it reads the layers from the last to the first, so that a hard link of a later layer comes before its
# target of an earlier one, and the extraction of a valid image fails ("Cannot hard link to 'a': No such file or directory").
# Each entry is right, their order is not: who builds a file system from such a stream has to keep links until the end.
#
# Seen with github.com/google/go-containerregistry v0.22.1 and GNU tar. It needs Go, bash and tar.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.25.0

require github.com/google/go-containerregistry v0.22.1
MOD
cat >main.go <<'GO'
package main

import (
	"archive/tar"
	"bytes"
	"io"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func layer(h tar.Header) v1.Layer {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&h); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return must(tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil }))
}

func main() {
	earlier := layer(tar.Header{Name: "a", Typeflag: tar.TypeReg, Mode: 0o644})
	later := layer(tar.Header{Name: "b", Typeflag: tar.TypeLink, Linkname: "a"})
	image := must(mutate.AppendLayers(empty.Image, earlier, later))
	must(io.Copy(os.Stdout, mutate.Extract(image)))
}
GO
go mod tidy >/dev/null 2>&1
echo "github.com/google/go-containerregistry $(go list -m -f '{{.Version}}' github.com/google/go-containerregistry), $(tar --version | head -n 1)"
go run . >flat.tar
names=$(tar tf flat.tar | tr '\n' ' ')
echo "entries in their order: $names"
[ "$names" = "b a " ]
mkdir out
if tar xf flat.tar -C out 2>said; then
	echo "tar extracts it"
	exit 1
fi
cat said
