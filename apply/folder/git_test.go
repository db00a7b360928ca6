package folder

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"microagent/runtime/driver"
)

func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-C", dir, "-c", "protocol.file.allow=always", "-c", "user.name=x",
		"-c", "user.email=x@example.com", "-c", "init.defaultBranch=main"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func shell(t *testing.T, dir, script string) {
	t.Helper()
	cmd := exec.Command("sh", "-ec", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

// repositories makes a repository with all kinds of git folders in it, a worktree of it, and one whose git folder has
// another name.
func repositories(t *testing.T) (repo, worktree, apart string) {
	t.Helper()
	base := t.TempDir()
	repo, worktree, apart = filepath.Join(base, "repo"), filepath.Join(base, "worktree"), filepath.Join(base, "apart")
	git(t, base, "init", "-q", "other")
	git(t, filepath.Join(base, "other"), "commit", "-q", "--allow-empty", "-m", "x")
	git(t, base, "init", "-q", "repo")
	git(t, repo, "submodule", "--quiet", "add", filepath.Join(base, "other"), "sub")
	shell(t, repo, `echo x > f; mkdir dir; ln -s .git/hooks hooks; ln -s .git s; ln -s dir/../.git/config token
		ln -s sub/.git subgit; ln -s self self; ln -s dir inside; ln -s / top; ln -s bare.git bare
		mkdir -p up/.GIT/hooks; ln -s `+repo+`/.git/hooks absolute; ln -s . here`)
	git(t, repo, "init", "-q", "--bare", "bare.git")
	git(t, repo, "add", "f", "hooks", "s", "inside")
	git(t, repo, "commit", "-q", "-m", "x")
	git(t, repo, "worktree", "add", "-q", worktree)
	shell(t, worktree, "ln .git alias; ln $(git rev-parse --git-common-dir)/config twin; ln -s $(git rev-parse --git-dir) tree; ln -s $(git rev-parse --git-common-dir) common")
	shell(t, base, "mkdir apart")
	git(t, base, "init", "-q", "--separate-git-dir="+filepath.Join(apart, "meta"), "apart")
	return repo, worktree, apart
}

func open(t *testing.T, dir string, allow ...string) *Folder {
	t.Helper()
	f, err := Open(dir, allow)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestGitFoldersAreNoSource(t *testing.T) {
	repo, worktree, apart := repositories(t)
	for _, c := range []struct {
		dir, allow, names string
	}{
		{repo, "", ".git .git/config .git/hooks hooks s s/config token subgit bare.git bare.git/hooks bare bare/config up/.GIT up/.GIT/hooks" +
			" absolute here/.git here/here/s/hooks top" + repo + "/.git .git/modules/sub .git/modules/sub/config"},
		{filepath.Join(repo, "sub"), "", ".git"},
		{filepath.Join(repo, "sub"), repo, ".git ../.git/modules/sub ../.git/modules/sub/config ../s/hooks"},
		{worktree, "/", ".git alias twin tree tree/HEAD common common/config"},
		{apart, "", ".git meta meta/config meta/hooks"},
		{repo, worktree, worktree + "/tree " + worktree + "/alias"},
	} {
		var allow []string
		if c.allow != "" {
			allow = append(allow, c.allow)
		}
		f := open(t, c.dir, allow...)
		for name := range strings.FieldsSeq(c.names) {
			if file, err := f.Open(name); !errors.Is(err, driver.ErrRefused) || driver.Next(err) == "" {
				t.Errorf("in %s: Open(%q) = %v, %v", c.dir, name, file, err)
			}
			if _, err := f.Stat(name); !errors.Is(err, driver.ErrRefused) {
				t.Errorf("in %s: Stat(%q): %v", c.dir, name, err)
			}
			if _, err := f.Sub(name); !errors.Is(err, driver.ErrRefused) {
				t.Errorf("in %s: Sub(%q): %v", c.dir, name, err)
			}
			if _, err := f.Target(name); !errors.Is(err, driver.ErrRefused) {
				t.Errorf("in %s: Target(%q): %v", c.dir, name, err)
			}
		}
	}
	f := open(t, repo)
	for _, name := range []string{".", "f", "dir", "inside", "here/f", "sub", "here/here/dir"} {
		if _, err := f.Stat(name); err != nil {
			t.Errorf("Stat(%q): %v", name, err)
		}
	}
	if _, err := f.Open("self"); err == nil || errors.Is(err, driver.ErrRefused) {
		t.Errorf("a link to itself: %v", err)
	}
}

func TestGitFoldersAreNoTarget(t *testing.T) {
	repo, worktree, apart := repositories(t)
	for dir, names := range map[string]string{
		repo: ".git .GIT .git/hooks/x .Git/hooks/x hooks/x s/hooks/x dir/.git dir/.GIT/x bare.git bare.git/hooks/x bare/x" +
			" up/.GIT/hooks/x sub/.git absolute/x here/x here/.git/x inside/x hooks f/x " + repo + "/.git/hooks/x",
		worktree: ".git alias/x tree/x common/hooks/x common",
		apart:    ".git meta meta/hooks/x meta/new/x",
	} {
		f := open(t, dir)
		for name := range strings.FieldsSeq(names) {
			_, err := f.Target(name)
			if !errors.Is(err, driver.ErrRefused) || driver.Next(err) == "" {
				t.Errorf("in %s: Target(%q): %v", dir, name, err)
			}
		}
		for _, name := range []string{"out", "out/a/b", "dir/x", "f"} {
			if _, err := f.Target(name); err != nil {
				t.Errorf("in %s: Target(%q): %v", dir, name, err)
			}
		}
	}
}
