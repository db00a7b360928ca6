#!/usr/bin/env bash
# An OCI layout that go-containerregistry appends to keeps the older image beside the newer one, under the same name.
#
# What one expects: writing an image under a name that is there replaces what the name stands for, as a tag of a registry
# does. What happens: layout.AppendImage adds a descriptor and removes none, so that index.json has two manifests of one
# name and platform, the older first. A reader that takes the first match runs the old image. crane pull --format=oci and
# ko build --oci-layout-path write layouts with this call; layout.ReplaceImage is the one that replaces.
#
# Seen with github.com/google/go-containerregistry v0.22.1. It needs Go and bash.
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
	"fmt"
	"os"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/match"
	"github.com/google/go-containerregistry/pkg/v1/random"
)

const name = "example.com/app:latest"

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func main() {
	path := must(layout.Write("lay", empty.Index))
	named := layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": name})
	older, newer := must(random.Image(64, 1)), must(random.Image(64, 1))
	if err := path.AppendImage(older, named); err != nil {
		panic(err)
	}
	if err := path.AppendImage(newer, named); err != nil {
		panic(err)
	}
	index := must(must(path.ImageIndex()).IndexManifest())
	n := 0
	for _, d := range index.Manifests {
		if d.Annotations["org.opencontainers.image.ref.name"] == name {
			n++
		}
	}
	first := index.Manifests[0].Digest == must(older.Digest())
	fmt.Printf("after two appends: %d manifests named %s, the older one first: %v\n", n, name, first)
	if n != 2 || !first {
		os.Exit(1)
	}
	if err := path.ReplaceImage(newer, match.Name(name), named); err != nil {
		panic(err)
	}
	n = len(must(must(path.ImageIndex()).IndexManifest()).Manifests)
	fmt.Printf("after a replace: %d manifest\n", n)
	if n != 1 {
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1
echo "github.com/google/go-containerregistry $(go list -m -f '{{.Version}}' github.com/google/go-containerregistry)"
go run .
