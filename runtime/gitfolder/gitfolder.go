// Package gitfolder says what git takes for its own folder: the one rule by which sources and outputs of a manifest, and
// trees that a guest sends, are kept off repositories. It looks at names that its callers found and never at a file.
package gitfolder

import (
	"slices"
	"strings"
)

// IsName says whether git looks for an entry of that name in every folder, in any case on file systems that fold it.
func IsName(name string) bool { return strings.EqualFold(name, ".git") }

// marks are what is in a repository.
var marks = []string{"HEAD", "objects", "refs", "commondir"}

// IsMark says whether an entry of that name, in any case, counts for IsRepository.
func IsMark(name string) bool {
	return slices.ContainsFunc(marks, func(mark string) bool { return strings.EqualFold(name, mark) })
}

// IsRepository says whether git would take a folder for a repository (is_git_directory in git's setup.c), whatever its
// name: it has HEAD, and objects and refs or a commondir that says where these are.
func IsRepository(has func(name string) bool) bool {
	return has("HEAD") && (has("commondir") || has("objects") && has("refs"))
}
