package read_test

import (
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/build"
	"microagent/runtime/disk/ext4/read"
)

// disk makes a small file system: a file and a symlink to it.
func disk(dir string) *os.File {
	f, err := os.Create(filepath.Join(dir, "disk"))
	if err != nil {
		log.Fatal(err)
	}
	b, err := build.New(f, build.Options{Size: 64 << 20, Journal: true, Label: "example", Time: time.Unix(1e9, 0)})
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	attr := ext4.Attr{Mode: 0o640, UID: 1000, Mtime: time.Unix(1e9, 0)}
	if err := b.File("data/hello.txt", attr, 6, strings.NewReader("hello\n")); err != nil {
		log.Fatal(err)
	}
	if err := b.Symlink("latest", "data/hello.txt", attr); err != nil {
		log.Fatal(err)
	}
	if _, err := b.Finish(); err != nil {
		log.Fatal(err)
	}
	return f
}

// A file's content and what its inode says. OpenReplayed shows the disk as a kernel would find it after its next mount;
// the image itself stays as it is.
func ExampleOpenReplayed() {
	dir, err := os.MkdirTemp("", "read")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	image := disk(dir)
	defer image.Close()

	fs, err := read.OpenReplayed(image, 64<<20)
	if err != nil {
		log.Fatal(err)
	}
	n, err := fs.Resolve("latest", true)
	if err != nil {
		log.Fatal(err)
	}
	file, err := fs.File(n)
	if err != nil {
		log.Fatal(err)
	}
	content, err := io.ReadAll(io.NewSectionReader(file, 0, file.Size()))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: mode %o of %d, %q\n", fs.Info().Label, n.Mode&0o777, n.UID, content)
	// Output: example: mode 640 of 1000, "hello\n"
}

// The names of a directory, in the order of its blocks.
func ExampleFS_Entries() {
	dir, err := os.MkdirTemp("", "read")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	image := disk(dir)
	defer image.Close()

	fs, err := read.Open(image, 64<<20)
	if err != nil {
		log.Fatal(err)
	}
	root, err := fs.Root()
	if err != nil {
		log.Fatal(err)
	}
	for e, err := range fs.Entries(root) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Name, e.Type == ext4.ModeDir)
	}
	// Output:
	// data true
	// latest false
}
