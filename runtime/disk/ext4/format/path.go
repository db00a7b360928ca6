package format

import (
	"strings"

	"microagent/runtime/disk/ext4"
)

// PathError is an ErrInvalid that is about a path in the words of its user, and not about the format.
type PathError string

func (e PathError) Error() string        { return string(e) }
func (e PathError) Is(target error) bool { return target == ext4.ErrInvalid }

// MaxSymlinks is how many symlinks a path may run through, as in Linux.
const MaxSymlinks = 40

// ErrLoop is for a path that never ends.
const ErrLoop = PathError("its path runs through too many symlinks")

// split makes a path relative to the root: "", "." and what climbs out of it are the root's own.
func SplitPath(path string) []string {
	parts := strings.Split(path, "/")
	out := parts[:0]
	for _, p := range parts {
		if p != "" && p != "." {
			out = append(out, p)
		}
	}
	return out
}
