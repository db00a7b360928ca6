package driver

import "fmt"

// Fetched is an output that lies in the workspace's folder.
type Fetched struct {
	Name  string `json:"name"`
	From  string `json:"from"` // the guest path
	Path  string `json:"path"` // relative to the workspace's folder
	Bytes int64  `json:"bytes"`
	Files int    `json:"files"`
	// Digest is that of the tree in its canonical form without its git folders; "" when the whole tree is one.
	Digest string `json:"digest"`
	// WithGit is the digest of the tree with its git folders, "" when it lies there without, or has none.
	WithGit string `json:"with_git,omitempty"`
	Error   string `json:"error,omitempty"`   // why it is not there
	Missing bool   `json:"missing,omitempty"` // that is because the guest had nothing there, or nothing of this run
	// Unchanged says that the run changed nothing of it, and Older how many of its files the run did not touch.
	Unchanged bool `json:"unchanged,omitempty"`
	Older     int  `json:"older,omitempty"`
	LeftOut
}

// Notes are what a user is to be told of an output that came, a line each.
func (f Fetched) Notes() []string {
	var notes []string
	if f.Count > 0 {
		notes = append(notes, f.Summary())
	}
	switch {
	case f.Unchanged:
		notes = append(notes, "the run changed nothing of it")
	case f.Older == 1:
		notes = append(notes, "1 file was there before the run, which did not touch it")
	case f.Older > 1:
		notes = append(notes, fmt.Sprintf("%d files were there before the run, which did not touch them", f.Older))
	}
	return notes
}

// Whole is the digest of what lies there.
func (f Fetched) Whole() string {
	if f.WithGit != "" {
		return f.WithGit
	}
	return f.Digest
}

// UnchangedError says that what lies at an output's path was left by an earlier run or by the image.
type UnchangedError struct{ Path string }

func (e *UnchangedError) Error() string {
	return e.Path + " was there before, and this run changed nothing of it; an output that may be so says unchanged: allow (:unchanged=allow in --output)"
}

// Is makes it an error of class ErrNotFound: the run has no such output.
func (e *UnchangedError) Is(target error) bool { return target == ErrNotFound }
