package folder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"microagent/runtime/driver"
)

// TestAFolderIsListed: more names than one call of the kernel gives, each once, with what it is.
func TestAFolderIsListed(t *testing.T) {
	dir := t.TempDir()
	shell(t, dir, "mkdir -p a/d; ln -s d a/l; mkfifo a/p")
	for i := range 2000 {
		if err := os.WriteFile(filepath.Join(dir, "a", fmt.Sprintf("a file of many with a long name %04d", i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, err := open(t, dir).Sub(".")
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	quick := files.(driver.QuickTree)
	got, err := quick.List("a")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadDir(filepath.Join(dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]fs.FileMode{}
	for _, n := range got {
		types[n.Name] = n.Type
	}
	if len(got) != len(want) || len(types) != len(want) {
		t.Errorf("%d names, %d of them once, of %d", len(got), len(types), len(want))
	}
	for _, w := range want {
		told, ok := types[w.Name()]
		if !ok || told != w.Type() && told != fs.ModeIrregular {
			t.Errorf("%s: %v, %v; want %v", w.Name(), told, ok, w.Type())
		}
	}
	for name, want := range map[string]error{"none": fs.ErrNotExist, "a/l": unix.ENOTDIR, "a/p": unix.ENOTDIR, "..": unix.EXDEV} {
		if _, err := quick.List(name); !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOnlyFilesAreOpened: what is no regular file when it is opened is not, whatever it was before, and no descriptor stays.
func TestOnlyFilesAreOpened(t *testing.T) {
	repo, _, _ := repositories(t)
	shell(t, repo, "mkdir -p own; echo text > own/f; ln -s f own/l; mkfifo own/p; mkdir own/d; ln -s . own/dots")
	files, err := open(t, repo).Sub(".")
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	quick := files.(driver.QuickTree)
	if _, err := quick.List("own"); err != nil {
		t.Fatal(err)
	}
	count := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	before := count()
	fd, info, err := quick.OpenFile("own/f")
	if err != nil || info.Size() != 5 || info.Name() != "f" {
		t.Fatal(info, err)
	}
	var b [9]byte
	if n, err := unix.Read(fd, b[:]); n != 5 || string(b[:n]) != "text\n" {
		t.Errorf("%q, %v", b[:n], err)
	}
	_ = unix.Close(fd)
	for name, want := range map[string]error{
		"own/l": unix.ELOOP, "own/p": unix.ESTALE, "own/d": unix.ESTALE, "own/none": fs.ErrNotExist, "own/dots/f": unix.ENOTDIR,
		"../f": unix.ESTALE, ".": unix.ESTALE, "own/..": unix.ESTALE, ".git/config": driver.ErrGitFolder, ".git": unix.ESTALE,
	} {
		if fd, _, err := quick.OpenFile(name); !errors.Is(err, want) {
			t.Errorf("%s: %d, %v", name, fd, err)
		}
	}
	if _, err := quick.List("own"); err != nil {
		t.Fatal(err)
	}
	if after := count(); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}
