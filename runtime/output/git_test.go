package output

import (
	"archive/tar"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"microagent/runtime/driver"
)

// repositoryAt are the entries of a repository whose configuration makes git run a program.
func repositoryAt(at, pwned string) []item {
	return []item{
		{Name: at + "HEAD", Data: "ref: refs/heads/main\n"},
		{Name: at + "config", Data: fmt.Sprintf("[core]\n\trepositoryformatversion = 0\n\tfsmonitor = \"touch %s; false\"\n", pwned)},
		{Name: at + "objects", Type: tar.TypeDir}, {Name: at + "refs/heads", Type: tar.TypeDir},
	}
}

// runGit runs git below dir in all folders, as a shell's prompt or an editor does unasked.
func runGit(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			for _, args := range [][]string{{"status"}, {"--work-tree=.", "status"}} {
				cmd := exec.Command("git", args...)
				cmd.Dir = p
				cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir))
				_ = cmd.Run() // that it finds no repository is the point
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestGitFolders: nothing of a tree makes git run a program, unless it was asked for.
func TestGitFolders(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Fatal("git is needed, as git is in .ci: ", err)
	}
	keep := item{Name: "keep", Data: "x"}
	for name, tc := range map[string]struct {
		entries func(pwned string) []item
		left    []string
		runs    bool // git of this host takes the bait when it is let in
	}{
		"folder":   {func(p string) []item { return repositoryAt("a/.git/", p) }, []string{"a/.git"}, true},
		"any case": {func(p string) []item { return repositoryAt("a/.GiT/", p) }, []string{"a/.GiT"}, true},
		"file": {func(p string) []item {
			return append(repositoryAt("x/", p), item{Name: ".git", Data: "gitdir: x\n"})
		}, []string{".git", "x"}, true},
		"link": {func(p string) []item {
			return append(repositoryAt("x/", p), item{Name: ".git", Type: tar.TypeSymlink, Link: "x"})
		}, []string{".git", "x"}, true},
		"bare": {func(p string) []item { return repositoryAt("deep/er/", p) }, []string{"deep/er"}, true},
		"head last": {func(p string) []item {
			list := repositoryAt("b/", p)
			slices.Reverse(list)
			return list
		}, []string{"b"}, true},
		"by links": {func(p string) []item {
			r := repositoryAt("b/", p)
			return []item{r[0], r[1], {Name: "o", Type: tar.TypeDir}, {Name: "b/objects", Type: tar.TypeSymlink, Link: "../o"}, {Name: "b/refs", Type: tar.TypeSymlink, Link: "../o"}}
		}, []string{"b"}, true},
		"common folder elsewhere": {func(p string) []item {
			r := repositoryAt("c/", p)
			return append(r[1:], item{Name: "b/HEAD", Data: r[0].Data}, item{Name: "b/commondir", Data: "../c\n"})
		}, []string{"b"}, true},
		"one in another": {func(p string) []item { return append(repositoryAt("b/", p), repositoryAt("b/modules/x/", p)...) }, []string{"b"}, true},
		"like one": {func(string) []item {
			return []item{{Name: "HEAD/x", Data: "1"}, {Name: "objects/y", Data: "2"}, {Name: "a/refs", Data: "3"}, {Name: ".gitignore", Data: "4"}, {Name: "x.git/f", Data: "5"}}
		}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			pwned := filepath.Join(t.TempDir(), "pwned")
			entries := append(tc.entries(pwned), keep)
			dir, root := folder(t)
			got, err := publishEntries(t, root, "out", entries...)
			if err != nil {
				t.Fatal(err)
			}
			var left []string
			for _, l := range got.LeftOut.Names {
				path, why, _ := strings.Cut(l, ": ")
				left = append(left, path)
				if !strings.Contains(why, "--allow-git") {
					t.Errorf("%q does not say how to get it", l)
				}
			}
			if !slices.Equal(left, tc.left) {
				t.Errorf("left out %q", got.LeftOut.Names)
			}
			if _, err := os.Stat(filepath.Join(dir, "out/keep")); err != nil {
				t.Error(err)
			}
			at := driver.Target{Root: root, Path: "out"}
			if digest, err := New().Digest(t.Context(), at); err != nil || digest != got.Digest || got.WithGit != "" {
				t.Errorf("%s lies there (%v); published %+v", digest, err, got)
			}
			runGit(t, filepath.Join(dir, "out"))
			if _, err := os.Stat(pwned); err == nil {
				t.Fatal("git ran a program of the guest's")
			}
			with, err := publishWithGit(t, root, "out", entries...)
			if err != nil || with.Digest != got.Digest || (with.WithGit != "") != (tc.left != nil) || with.LeftOut.Count != 0 {
				t.Errorf("with git: %+v, %v", with, err)
			}
			if digest, err := New().Digest(t.Context(), at); err != nil || digest != with.Whole() {
				t.Errorf("%s lies there (%v); published %+v", digest, err, with)
			}
			runGit(t, filepath.Join(dir, "out"))
			if _, err := os.Stat(pwned); (err == nil) != tc.runs {
				t.Errorf("let in, git ran the program: %v", err == nil)
			}
		})
	}
}

// TestTreeThatIsAGitFolder is refused whole, and its digest with git is known for later.
func TestTreeThatIsAGitFolder(t *testing.T) {
	dir, root := folder(t)
	entries := append(repositoryAt("", "/none"), item{Name: "!first", Data: "sorts before the root"})
	_, err := publishEntries(t, root, "out", entries...)
	if !errors.Is(err, driver.ErrRefused) || !strings.Contains(driver.Next(err), "--allow-git") {
		t.Errorf("%v, next %q", err, driver.Next(err))
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	got, err := publishWithGit(t, root, "out", entries...)
	if err != nil || got.Digest != "" || got.WithGit == "" || got.Files != 3 {
		t.Errorf("%+v, %v", got, err)
	}
}
