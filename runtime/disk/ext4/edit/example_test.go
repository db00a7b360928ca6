package edit_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/build"
	"microagent/runtime/disk/ext4/edit"
	"microagent/runtime/disk/ext4/read"
)

// A file is put into a file system that lies in an image. Nobody sees it before Commit, and whoever comes after a crash
// in Commit sees all of the transaction or nothing.
func ExampleEditor() {
	dir, err := os.MkdirTemp("", "edit")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	image, err := os.Create(filepath.Join(dir, "disk"))
	if err != nil {
		log.Fatal(err)
	}
	defer image.Close()
	const size = 64 << 20
	b, err := build.New(image, build.Options{Size: size, Journal: true, Time: time.Unix(1e9, 0)})
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	if _, err := b.Finish(); err != nil {
		log.Fatal(err)
	}

	if err := edit.Recover(image, size); err != nil { // what the last writer left in the journal
		log.Fatal(err)
	}
	now := time.Unix(2e9, 0)
	e, err := edit.Open(image, size, now)
	if err != nil {
		log.Fatal(err)
	}
	root, err := e.Root()
	if err != nil {
		log.Fatal(err)
	}
	etc, _, err := e.Mkdir(root, "etc", ext4.Attr{Mode: 0o755, Mtime: now})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := e.WriteFile(etc, "motd", ext4.Attr{Mode: 0o644, Mtime: now}, strings.NewReader("hello\n")); err != nil {
		log.Fatal(err)
	}
	there := func() bool {
		fs, err := read.OpenReplayed(image, size)
		if err != nil {
			log.Fatal(err)
		}
		_, err = fs.Resolve("etc/motd", true)
		return err == nil
	}
	fmt.Println("before:", there())
	if err := e.Commit(); err != nil {
		log.Fatal(err)
	}
	fmt.Println("after:", there())
	// Output:
	// before: false
	// after: true
}
