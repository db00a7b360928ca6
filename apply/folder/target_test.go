package folder

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"microagent/runtime/driver"
)

// untouched is a repository whose git folder has the marks of an attack afterwards, if there was a successful one.
func untouched(t *testing.T) (repo string, check func()) {
	t.Helper()
	repo = t.TempDir()
	git(t, repo, "init", "-q")
	names := func() string {
		var list []string
		err := filepath.WalkDir(filepath.Join(repo, ".git"), func(p string, _ fs.DirEntry, err error) error {
			list = append(list, p)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(list, "\n")
	}
	before := names()
	return repo, func() {
		t.Helper()
		if after := names(); after != before {
			t.Errorf("written to the git folder:\n%s\nbefore:\n%s", after, before)
		}
	}
}

// write does what a driver does with a target.
func write(target driver.Target, data string) error {
	parent, err := target.Enter(true)
	if err != nil {
		return err
	}
	defer parent.Close()
	return parent.WriteFile(filepath.Base(target.Path), []byte(data), 0o755)
}

func TestSwapAfterThePlan(t *testing.T) {
	for name, c := range map[string]struct{ before, swap string }{
		"the folder":              {"mkdir out", "rmdir out; ln -s .git/hooks out"},
		"a folder above":          {"mkdir -p out/a/b", "mv out old; mkdir out; ln -s ../.git/hooks out/a"},
		"the last folder":         {"mkdir -p out/a", "rmdir out/a; ln -s ../.git out/a"},
		"a folder that is made":   {"", "ln -s .git out"},
		"below one that is made":  {"mkdir out", "ln -s ../.git out/a"},
		"by an absolute link":     {"", `ln -s "$PWD/.git/hooks" out`},
		"by a chain":              {"", "ln -s .git one; ln -s one out"},
		"by the git folder":       {"", "mv .git out; ln -s out .git"},
		"by one apart":            {"", "mv .git out; echo gitdir: out > .git"},
		"by a bare repository":    {"", "git init -q --bare out"},
		"by one further down":     {"", "mkdir out; git init -q --bare out/a"},
		"by another's git folder": {"mkdir out", "git init -q out/a; mv out/a/.git out/b; rm -r out/a; mv out/b out/a"},
		"the target by a link":    {"mkdir -p out/a/b", "ln -s ../../../.git/hooks/post-commit out/a/b/post-commit"},
	} {
		t.Run(name, func(t *testing.T) {
			repo, _ := untouched(t)
			shell(t, repo, c.before)
			f := open(t, repo)
			target, err := f.Target("./out/a/b/post-commit")
			if err != nil {
				t.Fatal(err)
			}
			shell(t, repo, c.swap)
			if err := write(target, "x"); !errors.Is(err, driver.ErrRefused) {
				t.Errorf("Enter: %v", err)
			}
			shell(t, repo, `test -z "$(find . -name post-commit -type f)"; test -z "$(find . -path '*/hooks/*' -type d)"`)
		})
	}
}

func TestSwapAfterTheFolderWasOpened(t *testing.T) {
	repo, check := untouched(t)
	f := open(t, repo)
	target, err := f.Target("out/post-commit")
	if err != nil {
		t.Fatal(err)
	}
	parent, err := target.Enter(true)
	if err != nil {
		t.Fatal(err)
	}
	defer parent.Close()
	shell(t, repo, "mv out old; ln -s .git/hooks out")
	if err := parent.WriteFile("post-commit", nil, 0o755); err != nil {
		t.Fatal(err)
	}
	check()
	if _, err := os.Stat(filepath.Join(repo, "old", "post-commit")); err != nil {
		t.Error(err)
	}
}

func TestSwapsInARace(t *testing.T) {
	repo, check := untouched(t)
	shell(t, repo, "mkdir -p out/a spare; ln -s .git/hooks link; ln -s ../.git out/link")
	dir, err := os.Open(repo)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	f := open(t, repo)
	stop, stopped := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for ; ; n++ {
			select {
			case <-stop:
				stopped <- n
				return
			default:
			}
			for _, pair := range [][2]string{{"out", "link"}, {"spare", "out"}, {"out/a", "out/link"}} {
				_ = unix.Renameat2(int(dir.Fd()), pair[0], int(dir.Fd()), pair[1], unix.RENAME_EXCHANGE)
			}
		}
	}()
	wrote, refused := 0, 0
	for n := 0; n < 3000 || (wrote == 0 || refused == 0) && n < 300000; n++ {
		target, err := f.Target("out/a/post-commit")
		if err == nil {
			err = write(target, "x")
		}
		switch {
		case err == nil:
			wrote++
		case errors.Is(err, driver.ErrRefused):
			refused++
		case !errors.Is(err, fs.ErrNotExist):
			t.Errorf("%v", err)
		}
	}
	close(stop)
	swaps := <-stopped
	if wrote == 0 || refused == 0 || swaps == 0 {
		t.Errorf("no race: %d written, %d refused, %d swaps", wrote, refused, swaps)
	}
	check()
}

func TestDigestMakesNoFolder(t *testing.T) {
	repo, _ := untouched(t)
	target, err := open(t, repo).Target("out/a/x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := target.Enter(false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(repo, "out")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestLinksOnTheWayToATarget(t *testing.T) {
	dir, beside := lay(t)
	shell(t, dir, "mkdir real; ln -s real way; ln -s ../beside out; ln -s "+beside+" far; ln -s nowhere gone")
	f := open(t, dir)
	for name, want := range map[string][2]string{
		"way/x":    {"way is a symlink to real", "remove the link, or name another place"},
		"out/x":    {"out is a symlink to ../beside", "to: " + beside + "/x, and allow it with --allow-path=" + beside},
		"far/a/x":  {"far is a symlink to " + beside, "to: " + beside + "/a/x, and allow it with --allow-path=" + beside},
		"gone/x":   {"gone is a symlink to nowhere", "remove the link"},
		"escape":   {"escape is a symlink to ../beside/secret", "remove the link"},
		"loop/a":   {"loop is a symlink to loop", "remove the link"},
		"in/x":     {"a file is there", "move it away"},
		"../far/x": {"outside", "--allow-path="},
	} {
		_, err := f.Target(name)
		var refusal *LinkError
		if !errors.Is(err, driver.ErrRefused) || !strings.Contains(err.Error(), want[0]) || !strings.Contains(driver.Next(err), want[1]) {
			t.Errorf("%s: %v; next: %s", name, err, driver.Next(err))
		}
		if strings.Contains(want[0], "symlink") && !errors.As(err, &refusal) {
			t.Errorf("%s: %v is no LinkError", name, err)
		}
	}
	// named itself and allowed it is fine, by the name that the user gave as well
	shell(t, dir, "ln -s beside ../alias")
	alias := filepath.Join(filepath.Dir(dir), "alias")
	f = open(t, dir, alias)
	for _, name := range []string{beside + "/x", alias + "/x", "../beside/x"} {
		target, err := f.Target(name)
		if err == nil {
			err = write(target, name)
		}
		if data, _ := os.ReadFile(filepath.Join(beside, "x")); err != nil || string(data) != name {
			t.Errorf("%s: %v", name, err)
		}
	}
}
