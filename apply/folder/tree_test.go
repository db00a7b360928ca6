package folder

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"microagent/runtime/driver"
)

func TestWhatATreeReads(t *testing.T) {
	repo, _, apart := repositories(t)
	shell(t, apart, "mkdir -p a/b; echo x > a/b/f; ln -s b a/way; ln -s ../meta a/m")
	for _, c := range []struct {
		dir, source, name string
		want              error // nil: it is there
	}{
		{repo, ".", "f", nil},
		{repo, ".", ".", nil},
		{repo, ".", "bare.git/HEAD", nil}, // data, as long as git does not use it
		{repo, ".", "sub", nil},
		{repo, ".", ".git", driver.ErrGitFolder},
		{repo, ".", ".git/config", driver.ErrGitFolder},
		{repo, ".", "up/.GIT", driver.ErrGitFolder},
		{repo, ".", "sub/.git", driver.ErrGitFolder},
		{repo, "inside", ".", nil},
		{repo, ".", "hooks/x", unix.ENOTDIR},
		{repo, ".", "../other", unix.EXDEV},
		{repo, ".", "/etc/passwd", unix.EXDEV},
		{repo, ".", "none", fs.ErrNotExist},
		{apart, ".", "meta", driver.ErrGitFolder},
		{apart, ".", "a/m", nil}, // the link itself
		{apart, ".", "a/way/f", unix.ENOTDIR},
		{apart, "a/way", "f", nil},
	} {
		tree, err := open(t, c.dir).Sub(c.source)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tree.Lstat(c.name); !errors.Is(err, c.want) {
			t.Errorf("%s: %s in %s: %v", c.dir, c.name, c.source, err)
		}
		if err := tree.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestATreeIsHeld(t *testing.T) {
	repo, _, _ := repositories(t)
	shell(t, repo, "echo mine > dir/f")
	tree, err := open(t, repo).Sub("dir")
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	shell(t, repo, "mv dir old; ln -s .git dir; ln -s ../.git/config old/l")
	f, err := tree.Open("f")
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, err := tree.Lstat("config"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if _, err := tree.Open("l"); !errors.Is(err, unix.ELOOP) {
		t.Errorf("a link is followed: %v", err)
	}
	if target, err := tree.Readlink("l"); err != nil || target != "../.git/config" {
		t.Errorf("%q, %v", target, err)
	}
}

func TestTheCommandLineIsFree(t *testing.T) {
	repo, _, _ := repositories(t)
	f, err := Free(repo)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, name := range []string{".git/config", "s/config", "/etc/passwd", "../other/.git/HEAD"} {
		if _, err := f.Stat(name); err != nil {
			t.Error(err)
		}
	}
	for _, files := range []driver.Files{f, Host{Dir: repo}} {
		tree, err := files.Sub(".git")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tree.Stat("config"); err != nil {
			t.Error(err)
		}
		if err := tree.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestNoGitFolderIsAllowed(t *testing.T) {
	repo, worktree, apart := repositories(t)
	for _, dir := range []string{".git", ".git/hooks", "s", "bare.git", "bare.git/hooks", ".git/modules/sub", "up/.GIT/hooks"} {
		if _, err := Open(worktree, []string{filepath.Join(repo, dir)}); !errors.Is(err, driver.ErrGitFolder) || driver.Next(err) == "" {
			t.Errorf("%s: %v", dir, err)
		}
	}
	if _, err := Open(apart, []string{filepath.Join(apart, "meta")}); !errors.Is(err, driver.ErrGitFolder) {
		t.Errorf("%v", err)
	}
}

func TestOpenFoldersAreClosed(t *testing.T) {
	repo, _, _ := repositories(t)
	count := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	before := count()
	f, err := Open(repo, []string{"/tmp"})
	if err != nil {
		t.Fatal(err)
	}
	f.Claim([]Claim{{What: "x", Path: "inside"}, {What: "y", Path: "out/y", Output: true}, {What: "z", Path: "none/z"}})
	for _, name := range []string{"f", "inside", "s/config", "hooks/x", "/etc/passwd", "none", "here/here/f", "self", "out/y", "absolute/x", "top/etc"} {
		if file, err := f.Open(name); err == nil {
			file.Close()
		}
		_, _ = f.Lstat(name)
		_, _ = f.Readlink(name)
		if tree, err := f.Sub(name); err == nil {
			_, _ = tree.Lstat("a/b")
			_ = tree.Close()
		}
		if target, err := f.Target(name); err == nil {
			if parent, err := target.Enter(true); err == nil {
				parent.Close()
			}
		}
		_ = f.Unclaimed(name)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if after := count(); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}

// TestATreeLooksAgain changes what is there between two looks at the same name.
func TestATreeLooksAgain(t *testing.T) {
	dir := t.TempDir()
	shell(t, dir, "mkdir -p a/b/c a/x; echo 1 > a/b/f; echo 22 > a/b/g; mkfifo a/p; chmod 2751 a/x; ln -s b a/l")
	tree, err := open(t, dir).Sub(".")
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	for _, name := range []string{".", "a", "a/b", "a/b/f", "a/b/g", "a/b/c", "a/x", "a/p", "a/l", "a/b/f"} {
		got, err := tree.Lstat(name)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.Lstat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got.Mode() != want.Mode() || got.Size() != want.Size() || !got.ModTime().Equal(want.ModTime()) || got.IsDir() != want.IsDir() ||
			got.Sys().(*syscall.Stat_t).Ino != want.Sys().(*syscall.Stat_t).Ino {
			t.Errorf("%s: %v %d %v, want %v %d %v", name, got.Mode(), got.Size(), got.ModTime(), want.Mode(), want.Size(), want.ModTime())
		}
	}
	shell(t, dir, "echo 333 > n; mv n a/b/f")
	for range 2 {
		if got, err := tree.Lstat("a/b/f"); err != nil || got.Size() != 4 {
			t.Errorf("what was there is shown again: %v", err)
		}
	}
	for change, want := range map[string]error{ // between a look at a file and its opening
		"true": nil, "rm a/b/f; ln -s g a/b/f": unix.ELOOP, "echo 4444 > n; mv n a/b/f": unix.ESTALE, "rm a/b/f; mkfifo a/b/f": unix.ESTALE, "rm a/b/f": fs.ErrNotExist,
	} {
		shell(t, dir, "rm -f a/b/f; echo 333 > a/b/f")
		if _, err := tree.Lstat("a/b/f"); err != nil {
			t.Fatal(err)
		}
		shell(t, dir, change)
		f, err := tree.Open("a/b/f")
		if !errors.Is(err, want) {
			t.Errorf("%s: %v", change, err)
		}
		if err == nil {
			f.Close()
		}
	}
	shell(t, dir, "rm -f a/b/f; ln -s g a/b/f")
	if f, err := tree.Open("a/b/f"); !errors.Is(err, unix.ELOOP) {
		f.Close()
		t.Errorf("the link is followed: %v", err)
	}
	if to, err := tree.Readlink("a/b/f"); err != nil || to != "g" {
		t.Errorf("%q, %v", to, err)
	}
	shell(t, dir, "rm -f a/b/f; ln -s c a/b/f")
	if to, err := tree.Readlink("a/b/f"); err != nil || to != "c" {
		t.Errorf("the target that was there: %q, %v", to, err)
	}
	if _, err := tree.Lstat("a/b/none/f"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if got, err := tree.Lstat("a/b/g"); err != nil || got.Size() != 3 {
		t.Errorf("after an error: %v", err)
	}
	if p, err := tree.Open("a/p"); err != nil { // waits for nobody
		t.Error(err)
	} else {
		p.Close()
	}
}
