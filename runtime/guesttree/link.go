package guesttree

import (
	"io/fs"
	"path"
	"path/filepath"
	"strings"
)

// LinkStays says whether a symlink with that name in a tree stays in the tree. After a name, ".." goes up from where
// that name leads, which no look at the words can tell: it is taken at the beginning only. As long as every link of a
// tree stays and no entry lies below one, following them never leads out, and nothing has to be followed to know that.
func LinkStays(name, target string) bool {
	if target == "" || path.IsAbs(target) || !filepath.IsLocal(path.Join(path.Dir(name), target)) {
		return false
	}
	named := false
	for part := range strings.SplitSeq(target, "/") {
		if part == ".." && named {
			return false
		}
		named = named || part != ".." && part != "." && part != ""
	}
	return true
}

// KindOf is what a mode is, in a message.
func KindOf(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "a directory"
	case m&fs.ModeSymlink != 0:
		return "a symlink"
	case m&fs.ModeDevice != 0:
		return "a device"
	case m&fs.ModeNamedPipe != 0:
		return "a pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	}
	return "no regular file"
}
