#!/usr/bin/env bash
# Every image that tar2ext4 makes is one with errors to e2fsck, and it takes no directory of 65,000 others.
#
# What one expects: a disk image from a tool whose only work they are passes "e2fsck -fn", so that this command can stand
# behind it in a build; and ext4 counts the subdirectories of a directory without a bound (dir_nlink: the count is 1 from
# 65,000 on). What happens: the bits behind the last inode of the bitmap are not set, so e2fsck ends with 4 for an image of
# one empty file, while the kernel mounts it; and the 64,999th subdirectory is refused as one link too many.
#
# Seen with github.com/Microsoft/hcsshim v0.15.0 and e2fsprogs 1.47.0. It needs Go, bash and e2fsprogs.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.26.0

require github.com/Microsoft/hcsshim v0.15.0
MOD
cat >main.go <<'GO'
package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"

	"github.com/Microsoft/hcsshim/ext4/tar2ext4"
)

// image makes the named image of a tar with those entries.
func image(name string, entries ...tar.Header) error {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range entries {
		if err := w.WriteHeader(&h); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return tar2ext4.ConvertTarToExt4(&b, f)
}

func main() {
	if err := image("one.img", tar.Header{Name: "f", Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
		panic(err)
	}
	var many []tar.Header
	for i := range 64_999 {
		many = append(many, tar.Header{Name: fmt.Sprintf("d/%d/", i), Mode: 0o755, Typeflag: tar.TypeDir})
	}
	if err := image("fits.img", many[:64_998]...); err != nil {
		panic(err)
	}
	err := image("many.img", many...)
	fmt.Println("64,999 subdirectories:", err)
	if err == nil {
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1
PATH=$PATH:/sbin:/usr/sbin
echo "hcsshim $(go list -m -f '{{.Version}}' github.com/Microsoft/hcsshim), $(e2fsck -V 2>&1 | head -n 1)"
go run .
code=0
e2fsck -fn one.img >said 2>&1 || code=$?
grep -i padding said
[[ $code == 4 ]]
