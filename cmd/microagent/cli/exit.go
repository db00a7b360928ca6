package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// The exit codes of every command: this table is the only place that knows them.
const (
	ExitOK          = 0
	ExitFailed      = 1
	ExitChanges     = 2
	ExitPartly      = 3
	ExitInvalid     = 4
	ExitRefused     = 5
	ExitLocked      = 11
	ExitUsage       = 64
	ExitTimeout     = 124
	ExitOurs        = 125
	ExitInterrupted = 130
)

var exitMeanings = map[int]string{
	ExitOK:          "all went well",
	ExitFailed:      "it failed",
	ExitChanges:     "the plan has changes (only with --detailed-exitcode)",
	ExitPartly:      "it failed after a part was done; running it again goes on from there",
	ExitInvalid:     "the manifest is invalid",
	ExitRefused:     "refused for safety; the message says what would allow it",
	ExitLocked:      "another command works on the same project",
	ExitUsage:       "the command line is wrong",
	ExitTimeout:     "the time given ran out",
	ExitOurs:        "microagent itself failed; every other code is the guest's",
	ExitInterrupted: "interrupted",
}

// exitError carries the exit code of an error that has no class of its own, such as a guest's.
type exitError struct {
	code int
	err  error // nil: nothing is to be said
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// exits gives err, which may be nil, an exit code.
func exits(code int, err error) error {
	if code == ExitOK && err == nil {
		return nil
	}
	return &exitError{code: code, err: err}
}

// usageError is a command line that can't be understood.
type usageError struct {
	err     error
	command string
	next    string // the command that leads on, where it is not the help
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(command, format string, args ...any) error {
	return &usageError{err: fmt.Errorf(format, args...), command: command}
}

// exitCode is the one switch from an error to an exit code.
func exitCode(err error) int {
	var code *exitError
	var usage *usageError
	var locked *layout.LockedError
	var invalid *invalidError
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &code):
		return code.code
	case errors.As(err, &invalid):
		return invalid.code
	case errors.As(err, &usage):
		return ExitUsage
	case errors.Is(err, errInterrupted), errors.Is(err, context.Canceled):
		return ExitInterrupted
	case errors.As(err, &locked), errors.Is(err, driver.ErrLocked):
		return ExitLocked
	case errors.Is(err, driver.ErrRefused), errors.Is(err, driver.ErrBusy), errors.Is(err, driver.ErrStale):
		return ExitRefused
	case errors.Is(err, driver.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		return ExitTimeout
	default:
		return ExitFailed
	}
}

// guestCode makes our own failure of run and exec 125, so that it can't be taken for the guest's.
func guestCode(code int, err error) error {
	switch {
	case err == nil:
		if code == 0 {
			return nil
		}
		return &exitError{code: code}
	case exitCode(err) == ExitTimeout, exitCode(err) == ExitInterrupted, exitCode(err) == ExitUsage:
		return err
	default:
		return &exitError{code: ExitOurs, err: err}
	}
}

// exitStatus is the section of that name in a command's help.
func exitStatus(codes []int) string {
	var b strings.Builder
	b.WriteString("\nExit status:\n")
	for _, c := range codes {
		fmt.Fprintf(&b, "  %-4d %s\n", c, exitMeanings[c])
	}
	return b.String()
}
