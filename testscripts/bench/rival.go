//go:build ignore

// This makes OUT of IN, a tar, with tar2ext4, and syncs it. Its module, .ci/bench.mod, is apart from the program's.
package main

import (
	"bufio"
	"fmt"
	"os"

	"github.com/Microsoft/hcsshim/ext4/tar2ext4"
)

func main() {
	if err := convert(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func convert(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	if err := tar2ext4.ConvertTarToExt4(bufio.NewReaderSize(in, 1<<20), out, tar2ext4.MaximumDiskSize(64<<30)); err != nil {
		return err
	}
	return out.Sync()
}
