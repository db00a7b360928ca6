package output

import (
	"io/fs"
	"path"
	"strings"

	"microagent/runtime/driver"
)

// obstacle finds what keeps the folders on the way to t from being entered or made, and says what to do about it. It
// gives "" when it finds nothing: os.Root's own errors tell files, links that lead outside and dangling ones not apart.
func obstacle(t driver.Target) string {
	if t.Root == nil {
		return ""
	}
	way := ""
	for part := range strings.SplitSeq(path.Dir(path.Clean(t.Path)), "/") {
		way = path.Join(way, part)
		info, err := t.Root.Lstat(way)
		if err != nil {
			return ""
		}
		if info.Mode().Type() == fs.ModeSymlink {
			into, err := t.Root.Stat(way)
			if err == nil && into.IsDir() {
				continue
			}
			if err == nil {
				return way + " is a symlink to a file where a folder is needed; remove it, or name another target"
			}
			return way + " is a symlink that leads outside the folder or nowhere; remove it, or name another target"
		}
		if !info.IsDir() {
			return way + " is a file where a folder is needed; move it away, or name another target"
		}
	}
	return ""
}
