package build_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/build"
)

// A disk of two layers: the second hides what the first has at a path, and replaces a file.
func ExampleBuilder() {
	dir, err := os.MkdirTemp("", "build")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	f, err := os.Create(filepath.Join(dir, "disk"))
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()

	b, err := build.New(f, build.Options{Size: 64 << 20, Journal: true, Label: "example", Time: time.Unix(1e9, 0)})
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	file := func(path, content string) {
		attr := ext4.Attr{Mode: 0o644, Mtime: time.Unix(1e9, 0)}
		if err := b.File(path, attr, int64(len(content)), strings.NewReader(content)); err != nil {
			log.Fatal(err)
		}
	}
	file("etc/motd", "old\n")
	file("etc/issue", "gone\n")
	b.NextLayer()
	file("etc/motd", "new\n")
	if err := b.Whiteout("etc/issue"); err != nil {
		log.Fatal(err)
	}
	made, err := b.Finish()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d MiB with %d entries\n", made.Size>>20, made.Entries)
	// Output: 64 MiB with 2 entries
}
