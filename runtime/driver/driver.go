// Package driver is the contract between the engine and what touches the host: small interfaces, plain
// specs and error classes. It promises nothing by itself and imports the standard
// library and schema/spec only.
//
// apply, refresh and the commands call these interfaces; the rooms beside this one implement them, and
// drivertest checks that an implementation keeps what is written here. All sizes are bytes, all names of
// managed objects are the names on disk ("counter.data", "scratch"), all digests read "sha256:<hex>".
//
// What holds for every method:
//   - Calls are idempotent: doing what is done already succeeds and changes nothing.
//   - Errors carry one of the classes in errors.go; an *Error also says what to do next.
//   - Nothing half-made is ever visible under its final name.
//   - Methods that only read (List, Get, Find, Digest...) write nothing, take no exclusive lock and work on
//     a read-only state directory.
package driver

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
)

// ErrGitFolder is in the chain of errors about what is a git folder or lies in one.
var ErrGitFolder = errors.New("a git folder")

// Reader reads files. Names are slash-separated.
type Reader interface {
	Open(name string) (*os.File, error)
	Stat(name string) (fs.FileInfo, error)
	Lstat(name string) (fs.FileInfo, error)
	Readlink(name string) (string, error)
}

// Tree is a folder that is held open: what takes its place on the host meanwhile is not looked at. Names are relative
// to it, "." is the folder itself; none is reached through a symlink.
type Tree interface {
	Reader
	io.Closer
}

// Name is a name in a folder. Type has the bits of fs.ModeType, or fs.ModeIrregular where the file system did not tell.
type Name struct {
	Name string
	Type fs.FileMode
}

// QuickTree is a Tree that asks the kernel no more than it takes to read thousands of small files.
type QuickTree interface {
	Tree
	// List gives what is in a folder, in no order.
	List(name string) ([]Name, error)
	// OpenFile opens a regular file, which is the caller's to close, and gives what is open. What is none is unix.ESTALE,
	// and a symlink unix.ELOOP.
	OpenFile(name string) (fd int, info fs.FileInfo, err error)
}

// Files opens paths on the host that an input names. The implementation for a manifest can't leave the manifest's
// folder and those of --allow-path, and opens nothing in a git folder; the one for the command line opens anything.
type Files interface {
	Reader
	// Sub opens a folder to read all that is in it.
	Sub(name string) (Tree, error)
	// Resolve is the absolute host path of name for messages and for attaching a disk by file
	// descriptor; it proves nothing about what is there by the time it is used.
	Resolve(name string) string
}

// Progress receives how far a long call has come. It is called from the caller's goroutine or a goroutine
// that ends before the call returns; total is 0 while it is unknown.
type Progress func(what string, done, total int64)

// Report calls p unless it is nil.
func (p Progress) Report(what string, done, total int64) {
	if p != nil {
		p(what, done, total)
	}
}

// Streams are the standard streams of a process in a guest, as its caller has them. A nil Stdin is an
// empty one; with Terminal set Stderr is unused, as on any pty.
type Streams struct {
	Stdin    io.Reader
	Stdout   io.Writer
	Stderr   io.Writer
	Terminal bool
	// Resize delivers window sizes while Terminal is set; the first is the size at start.
	Resize <-chan WindowSize
	// Signals delivers signals to send to the process ("INT", "TERM", ...).
	Signals <-chan string
}

// WindowSize is a terminal's size in characters.
type WindowSize struct{ Rows, Columns uint16 }

// Doctor is implemented by drivers that can say what is missing on this host.
type Doctor interface {
	// Diagnose lists findings, worst first; an empty list means that nothing is wrong.
	Diagnose(ctx context.Context) []Finding
}

// Finding is one line of `microagent doctor`.
type Finding struct {
	Code     string `json:"code"`     // stable, snake_case: "no_kvm", "no_kernel"
	Severity string `json:"severity"` // "ok", "note", "warning", "error"
	Message  string `json:"message"`  // what was found, on what
	Next     string `json:"next"`     // the command or sentence that mends it; empty when nothing is to be done
}

// String gives what was found, with what to do.
func (f Finding) String() string { return f.Message + ": " + f.Next }
