package folder

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"al.essio.dev/pkg/shellescape"

	"microagent/runtime/driver"
	"microagent/runtime/gitfolder"
)

// OutsideError says that a path leaves the folders it may be in.
type OutsideError struct {
	Path string // as the manifest has it
	Real string // where it leads, when that is known
}

func (e *OutsideError) Error() string {
	if e.Real != "" && e.Real != e.Path {
		return fmt.Sprintf("%s leads to %s, outside the manifest's folder", e.Path, e.Real)
	}
	return e.Path + " is outside the manifest's folder"
}

// Is makes it an error of class driver.ErrRefused.
func (e *OutsideError) Is(target error) bool { return target == driver.ErrRefused }

// outside refuses a path, and says which folder would have to be allowed for it.
func outside(name, real, folder string) error {
	next := "move it into the manifest's folder"
	if !slices.ContainsFunc(strings.Split(real, "/"), gitfolder.IsName) { // that would be refused
		next += ", or allow it with --allow-path=" + shellescape.Quote(folder)
	}
	return &driver.Error{Class: driver.ErrRefused, Op: "open", Object: name, Err: &OutsideError{name, real}, Next: next}
}

// GitError says that a path is a git folder or lies in one. It is driver.ErrGitFolder.
type GitError struct {
	Path string // as the manifest has it
	Git  string // the git folder
	Abs  string // Path, absolute
	Made bool   // it would only become one
}

func (e *GitError) Error() string {
	switch {
	case e.Made:
		return e.Path + ", with what is there and what other outputs write, makes a git folder of " + e.Git
	case e.Abs == e.Git:
		return e.Path + " is a git folder"
	case strings.HasPrefix(e.Abs, e.Git+"/"):
		return e.Path + " lies in the git folder " + e.Git
	}
	return e.Path + " leads into the git folder " + e.Git
}

// Is makes it an error of class driver.ErrRefused.
func (e *GitError) Is(target error) bool {
	return target == driver.ErrGitFolder || target == driver.ErrRefused
}

// LinkError says that there is a symlink on the way to an output's target.
type LinkError struct {
	Path string // as the manifest has it
	Link string // the symlink
	Real string // where it leads
}

func (e *LinkError) Error() string {
	return fmt.Sprintf("%s is a symlink to %s, and outputs are never written through one", e.Link, e.Real)
}

// Is makes it an error of class driver.ErrRefused.
func (e *LinkError) Is(target error) bool { return target == driver.ErrRefused }

// ConflictError says that an output would write something else that the manifest names.
type ConflictError struct {
	Path string // as the manifest has it
	How  string // "is", "lies inside", "would replace"
	What string // "the source of bundle src"
}

func (e *ConflictError) Error() string { return e.Path + " " + e.How + " " + e.What }

// Is makes it an error of class driver.ErrRefused.
func (e *ConflictError) Is(target error) bool { return target == driver.ErrRefused }

const elsewhere = "name another place for the output, such as ./out/result"

// refuse is the error of a target.
func refuse(name string, reason error, next string) error {
	return &driver.Error{Class: driver.ErrRefused, Op: "write to", Object: name, Err: reason, Next: next}
}

var errNotFolder = errors.New("a file is there where a folder is needed")
