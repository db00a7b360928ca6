package output

import (
	"os"
	"path"
	"strings"

	"microagent/runtime/gitfolder"
)

// gitFolders are the topmost paths of a complete tree that git would look into: each entry called .git, and each folder
// that has a repository's names, whatever they are. File systems that fold case are thought of.
func (t tree) gitFolders() []string {
	marks := map[string]map[string]bool{} // by folder, in lower case
	for p := range t {
		if name := path.Base(p); p != "." && gitfolder.IsMark(name) {
			dir := path.Dir(p)
			if marks[dir] == nil {
				marks[dir] = map[string]bool{}
			}
			marks[dir][strings.ToLower(name)] = true
		}
	}
	isGit := func(p string) bool {
		in := marks[p]
		return in != nil && gitfolder.IsRepository(func(name string) bool { return in[strings.ToLower(name)] })
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
		case gitfolder.IsName(path.Base(p)), isGit(p):
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
