package gitfolder

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestAgainstGit: git itself says which of the folders that can be made of the names is a repository.
func TestAgainstGit(t *testing.T) {
	for set := range 1 << len(marks) {
		dir := t.TempDir()
		var names []string
		for i, name := range marks {
			if set&(1<<i) == 0 {
				continue
			}
			names = append(names, name)
			var err error
			switch name {
			case "HEAD":
				err = os.WriteFile(filepath.Join(dir, name), []byte("ref: refs/heads/main\n"), 0o600)
			case "commondir":
				common := t.TempDir()
				if err = exec.Command("git", "init", "-q", "--bare", common).Run(); err == nil {
					err = os.WriteFile(filepath.Join(dir, name), []byte(common+"\n"), 0o600)
				}
			default:
				err = os.Mkdir(filepath.Join(dir, name), 0o700)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		want := exec.Command("git", "--git-dir", dir, "rev-parse", "--git-dir").Run() == nil
		if got := IsRepository(func(name string) bool { return slices.Contains(names, name) }); got != want {
			t.Errorf("%s: %v, and git says %v", strings.Join(names, " "), got, want)
		}
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]bool{".git": true, ".GIT": true, "git": false, ".gitignore": false} {
		if IsName(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
	for name, want := range map[string]bool{"head": true, "Refs": true, "hooks": false, "": false} {
		if IsMark(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}
