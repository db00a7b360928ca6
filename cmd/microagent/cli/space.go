package cli

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// fuller adds to a report that something ran out of space what is free there, and what may free more.
func (r *report) fuller(err error) {
	if !errors.Is(err, syscall.ENOSPC) {
		return
	}
	if r.Next == "" {
		r.Code, r.Next = "no_space", "free some space, or use another state directory (--state-dir)"
	}
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		if free, ok := freeAt(at.Path); ok {
			r.Message += ", where " + size(free) + " are free now"
		}
	}
	if strings.Contains(r.Next, "state directory") {
		r.Next += "; microagent prune removes what nothing uses"
	}
}

// freeAt is what is free on the file system of path, which need not be there any more.
func freeAt(path string) (int64, bool) {
	if !filepath.IsAbs(path) {
		return 0, false
	}
	for ; ; path = filepath.Dir(path) {
		var st unix.Statfs_t
		if err := unix.Statfs(path, &st); err == nil {
			return int64(st.Bavail) * st.Bsize, true
		}
		if path == "/" {
			return 0, false
		}
	}
}
