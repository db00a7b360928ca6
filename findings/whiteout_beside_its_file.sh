#!/usr/bin/env bash
# What a layer has beside a whiteout of the same name is kept or lost by its order in the tar, and by who reads it.
#
# What one expects: a whiteout hides what lower layers have, and nothing of its own layer, wherever in the tar it stands (OCI
# image spec, "Whiteouts": files that are present in the same layer as a whiteout file can only be hidden by subsequent
# layers). What happens: of the two libraries that most readers of images are made of each does so in one order only.
# containerd's archive.Apply takes away a file that stands before its whiteout; go-containerregistry's mutate.Extract leaves
# out one that stands behind it, and says nothing. A builder that replaces a file or a directory by whiteout and anew makes
# images that are others under crane export than under a containerd.
#
# Seen with github.com/containerd/containerd/v2 v2.4.2 and github.com/google/go-containerregistry v0.22.1. It needs Go and
# bash.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.26.0

require (
	github.com/containerd/containerd/v2 v2.4.2
	github.com/google/go-containerregistry v0.22.1
)
MOD
cat >main.go <<'GO'
package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/pkg/archive"
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

// pack makes a layer of empty files, and of directories where a name ends in a slash.
func pack(names string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name := range strings.FieldsSeq(names) {
		h := tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Uid: os.Getuid(), Gid: os.Getgid()}
		if strings.HasSuffix(name, "/") {
			h.Typeflag, h.Mode = tar.TypeDir, 0o755
		}
		if err := w.WriteHeader(&h); err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// byContainerd says whether the file is there when both layers were unpacked.
func byContainerd(lower, upper []byte, file string) bool {
	root := must(os.MkdirTemp(".", "root"))
	must(archive.Apply(context.Background(), root, bytes.NewReader(lower)))
	must(archive.Apply(context.Background(), root, bytes.NewReader(upper)))
	_, err := os.Lstat(filepath.Join(root, file))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		panic(err)
	}
	return err == nil
}

// byGGCR says whether the flattened tar of both layers has the file.
func byGGCR(lower, upper []byte, file string) bool {
	layer := func(b []byte) v1.Layer {
		return must(tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }))
	}
	flat := mutate.Extract(must(mutate.AppendLayers(empty.Image, layer(lower), layer(upper))))
	defer flat.Close()
	found := false
	for r := tar.NewReader(flat); ; {
		h, err := r.Next()
		if err == io.EOF {
			return found
		}
		if err != nil {
			panic(err)
		}
		found = found || path.Clean(h.Name) == file
	}
}

func main() {
	lower := pack("d/ d/old e")
	changed := false
	for _, row := range []struct {
		upper, file      string
		containerd, ggcr bool
	}{
		{"e .wh.e", "e", false, true},
		{".wh.e e", "e", true, false},
		{".wh.d d/ d/new", "d/new", true, false},
		{"d/ d/.wh.old d/old", "d/old", true, false},
		{"d/ d/old d/.wh.old", "d/old", false, true},
	} {
		c, g := byContainerd(lower, pack(row.upper), row.file), byGGCR(lower, pack(row.upper), row.file)
		fmt.Printf("a layer of %s: %s is there by containerd %v, by go-containerregistry %v\n", row.upper, row.file, c, g)
		changed = changed || c != row.containerd || g != row.ggcr
	}
	if changed {
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1
echo "containerd $(go list -m -f '{{.Version}}' github.com/containerd/containerd/v2), go-containerregistry $(go list -m -f '{{.Version}}' github.com/google/go-containerregistry)"
go run .
