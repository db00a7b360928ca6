package output

import (
	"os"
	"path"
	"strings"
)

// repository are the names that make git take a folder for a repository (is_git_directory in git's setup.c): HEAD, and
// either objects and refs or a commondir that says where these are.
const (
	hasHead = 1 << iota
	hasObjects
	hasRefs
	hasCommon
)

var repository = map[string]int{"head": hasHead, "objects": hasObjects, "refs": hasRefs, "commondir": hasCommon}

// gitFolders are the topmost paths of a complete tree that git would look into: each entry called .git, and each folder
// that has a repository's names, whatever they are. File systems that fold case are thought of.
func (t tree) gitFolders() []string {
	has := map[string]int{}
	for p := range t {
		if name := strings.ToLower(path.Base(p)); p != "." && repository[name] != 0 {
			has[path.Dir(p)] |= repository[name]
		}
	}
	isGit := func(p string) bool {
		return has[p]&hasHead != 0 && (has[p]&hasCommon != 0 || has[p]&hasObjects != 0 && has[p]&hasRefs != 0)
	}
	if isGit(".") {
		return []string{"."}
	}
	found := map[string]bool{}
	var list []string
	for _, p := range t.paths() { // a folder comes before what is in it
		switch {
		case found[path.Dir(p)]:
			found[p] = true
		case strings.EqualFold(path.Base(p), ".git"), isGit(p):
			found[p] = true
			list = append(list, p)
		}
	}
	return list
}

// without gives the tree without what lies at or below the paths.
func (t tree) without(list []string) tree {
	if len(list) == 0 {
		return t
	}
	gone := map[string]bool{}
	for _, p := range list {
		gone[p] = true
	}
	rest := tree{}
	for _, p := range t.paths() {
		if gone["."] || gone[p] || p != "." && gone[path.Dir(p)] {
			gone[p] = true
			continue
		}
		rest[p] = t[p]
	}
	return rest
}

// remove takes the paths out of the tree that was written in root.
func remove(root *os.Root, list []string) error {
	for _, p := range list {
		if err := root.RemoveAll(path.Join(stageName, p)); err != nil {
			return err
		}
	}
	return nil
}
