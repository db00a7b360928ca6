package read

import (
	"strings"

	"microagent/runtime/disk/ext4/format"
)

// ResolvePath is Resolve that also gives the path without symlinks that it came to: of what it found, or, with
// fs.ErrNotExist, of the first thing that is not there.
func (f *FS) ResolvePath(path string, follow bool) (n Inode, real string, err error) {
	root, err := f.Root()
	if err != nil {
		return Inode{}, "", err
	}
	at := root
	var above []Inode // of each name in names
	var names []string
	parts := format.SplitPath(path)
	here := func() string { return "/" + strings.Join(names, "/") }
	for links := 0; len(parts) > 0; {
		name := parts[0]
		parts = parts[1:]
		if !at.IsDir() {
			return Inode{}, here(), format.PathError(here() + " is not a directory")
		}
		if name == ".." {
			if len(names) > 0 {
				at = above[len(above)-1]
				names, above = names[:len(names)-1], above[:len(above)-1]
			}
			continue
		}
		child, err := f.Lookup(at, name)
		if err != nil {
			names = append(names, name)
			return Inode{}, here(), err
		}
		if child.IsSymlink() && (len(parts) > 0 || follow) {
			if links++; links > format.MaxSymlinks {
				return Inode{}, here(), format.ErrLoop
			}
			target, err := f.Readlink(child)
			if err != nil {
				return Inode{}, here(), err
			}
			if strings.HasPrefix(target, "/") {
				at, names, above = root, nil, nil
			}
			parts = append(format.SplitPath(target), parts...)
			continue
		}
		above, names = append(above, at), append(names, name)
		at = child
	}
	return at, here(), nil
}
