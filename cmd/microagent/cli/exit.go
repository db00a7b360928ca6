package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

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
	ExitGuest       = 10
	ExitLocked      = 11
	ExitUsage       = 64
	ExitTimeout     = 124
	ExitOurs        = 125
	ExitInterrupted = 130
)

// retryExits are the codes at which doing the same again later can go better without anybody having changed anything. At
// ExitFailed it depends: the JSON form of an error says.
var retryExits = []int{ExitPartly, ExitLocked, ExitTimeout, ExitOurs, ExitInterrupted}

var exitMeanings = map[int]string{
	ExitOK:          "all went well",
	ExitFailed:      "it failed",
	ExitChanges:     "the plan has changes (only with --detailed-exitcode)",
	ExitPartly:      "it failed after a part was done; running it again goes on from there",
	ExitInvalid:     "the manifest is invalid",
	ExitRefused:     "refused for safety; the message says what would allow it",
	ExitGuest:       "run, exec and wait with --map-exit: the command in the guest failed, with whatever code",
	ExitLocked:      "in use: another command or workspace has it",
	ExitUsage:       "the command line is wrong",
	ExitTimeout:     "the time given ran out",
	ExitOurs:        "run, exec and wait: microagent itself failed",
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
	if several, ok := errors.AsType[severalError](err); ok {
		return exitCode(several[0])
	}
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
	case errors.As(err, &locked), errors.Is(err, driver.ErrLocked), errors.Is(err, driver.ErrBusy):
		return ExitLocked
	case errors.Is(err, driver.ErrRefused), errors.Is(err, driver.ErrStale):
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

// guestError is a command in a guest that ended with a code of its own, where --map-exit keeps that from being ours.
type guestError struct{ code int }

func (e *guestError) Error() string {
	return fmt.Sprintf("the command ended with exit code %d", e.code)
}

// mapExit makes an error of guestCode one whose code says by itself whose failure it is and whether a retry helps: one
// code for the guest's, for ours those that other commands have, and ExitOurs for what has none and may pass.
func mapExit(err error) error {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		if _, one := err.(*driver.Error); !one {
			var list []error
			for _, e := range several.Unwrap() {
				list = append(list, mapExit(e))
			}
			return errors.Join(list...)
		}
	}
	if printed, ok := err.(*printedError); ok {
		return &printedError{mapExit(printed.err)}
	}
	e, ok := err.(*exitError)
	switch {
	case !ok:
		return err
	case e.err == nil:
		return &exitError{ExitGuest, &guestError{e.code}}
	}
	code := exitCode(e.err)
	if helps, known := driver.RetryHelps(e.err); code == ExitFailed && (helps || !known) {
		code = ExitOurs
	}
	return &exitError{code, e.err}
}

// mapping adds --map-exit to a command that exits with a guest's code.
func mapping(cmd *cobra.Command) *cobra.Command {
	on := cmd.Flags().Bool("map-exit", false, fmt.Sprintf("exit with %d when the command failed, and with the codes of other commands when microagent did", ExitGuest))
	do := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		err := do(cmd, args)
		if *on {
			err = mapExit(err)
		}
		return err
	}
	return cmd
}

// retryHelps says whether doing again what gave err can go better by itself: its class says, or else its exit code.
func retryHelps(err error) bool {
	if _, guests := errors.AsType[*guestError](err); guests {
		return false // who wrote the command knows
	}
	code := exitCode(err)
	switch code {
	case ExitInvalid, ExitRefused, ExitUsage, ExitInterrupted:
		return slices.Contains(retryExits, code)
	}
	if helps, known := driver.RetryHelps(err); known {
		return helps
	}
	return slices.Contains(retryExits, code)
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
