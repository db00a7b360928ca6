package driver

import (
	"errors"
	"strings"
)

// The classes of errors. Callers decide by errors.Is on these and never by an error's text.
var (
	ErrNotFound    = errors.New("not found")
	ErrExists      = errors.New("already exists")
	ErrBusy        = errors.New("in use")
	ErrLocked      = errors.New("locked")  // another command works on it now; trying again later can help
	ErrRefused     = errors.New("refused") // safety: the caller must say more before this is done
	ErrInvalid     = errors.New("invalid") // the input itself is wrong
	ErrUnsupported = errors.New("not supported")
	ErrCorrupt     = errors.New("corrupt")     // bytes are not what their digest or format says
	ErrUnavailable = errors.New("unavailable") // a registry, VMM or guest that does not answer
	ErrNoSpace     = errors.New("no space left")
	ErrStale       = errors.New("changed since it was planned")
	ErrTimeout     = errors.New("timed out")
	ErrGuest       = errors.New("guest failed") // the guest or its VMM ended or broke; see CrashError
)

// Error is an error that a user can see: what was being done, on which object, why it did not work and
// what to do next.
type Error struct {
	Class  error  // one of the classes above; nil: whatever Err is
	Op     string // "create volume", "pull image"
	Object string // "data", "docker.io/library/alpine:3.20"
	Err    error  // why
	Next   string // a sentence or a command; empty when the reason says it all
}

// Error gives "op object: reason". What to do next is left to whoever prints the error.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Object != "" {
		b.WriteByte(' ')
		b.WriteString(e.Object)
	}
	switch {
	case e.Err != nil:
		b.WriteString(": ")
		b.WriteString(e.Err.Error())
	case e.Class != nil:
		b.WriteString(": ")
		b.WriteString(e.Class.Error())
	}
	return b.String()
}

// Unwrap lets errors.Is find the class as well as the reason.
func (e *Error) Unwrap() []error {
	var list []error
	if e.Class != nil {
		list = append(list, e.Class)
	}
	if e.Err != nil {
		list = append(list, e.Err)
	}
	return list
}

// NextTaken is what to do when a workspace of the name is there.
func NextTaken(workspace string) string {
	return "choose another name, or use the one that is there: microagent start " + workspace
}

// NextNoSpace is what to do when the state directory's file system is full.
const NextNoSpace = "free some space, or use another state directory (--state-dir); to remove what nothing uses: microagent prune"

// Next is what the first error in err's chain that knows it says to do next, or "". After a crash it is to read the
// console.
func Next(err error) string {
	for err != nil {
		e, ok := errors.AsType[*Error](err)
		if !ok {
			break
		}
		if e.Next != "" {
			return e.Next
		}
		err = e.Err
	}
	if crash, ok := errors.AsType[*CrashError](err); ok {
		return "microagent logs --console " + crash.Workspace
	}
	return ""
}

// CrashError says that a guest or its VMM ended when it should not have.
type CrashError struct {
	Workspace string
	Phase     string   // "boot", "running", "shutdown"
	Reason    string   // "kernel panic", "vmm exited with 1", "no agent after 30s"
	Console   []string // the last lines of the guest's console, control characters escaped
	Log       string   // path of the whole console log
}

// Error gives the reason alone; whoever prints it adds Console and Log.
func (e *CrashError) Error() string {
	return "guest of workspace " + e.Workspace + " failed during " + e.Phase + ": " + e.Reason
}

// Is makes a CrashError of class ErrGuest.
func (e *CrashError) Is(target error) bool { return target == ErrGuest }
