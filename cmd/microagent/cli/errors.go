package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"microagent/cmd/microagent/cli/term"

	"microagent/apply"
	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/schema/diag"
	"microagent/schema/printable"
)

// printedError was told to the user already; only its exit code is left to give.
type printedError struct{ err error }

func (e *printedError) Error() string { return e.err.Error() }
func (e *printedError) Unwrap() error { return e.err }

// report is an error as programs get it.
type report struct {
	Code    string   `json:"code"` // driver.ClassName, or a word of describe
	Exit    int      `json:"exit"`
	Retry   bool     `json:"retry"`                // doing the same again later can go better by itself
	Guest   *int     `json:"guest_exit,omitempty"` // the command's own code, where --map-exit has another in its place
	Op      string   `json:"op,omitempty"`
	Object  string   `json:"object,omitempty"`
	Message string   `json:"message"`
	Next    string   `json:"next,omitempty"`
	Console []string `json:"console,omitempty"`
	// The last lines of a task's or service's process.
	Stdout []string `json:"stdout,omitempty"`
	Stderr []string `json:"stderr,omitempty"`
	// written has both in their order.
	written []apply.Line
	Log     string `json:"log,omitempty"`
}

// describe brings err into the form that is printed.
func (a *app) describe(err error) report {
	r := report{Code: "failed", Exit: exitCode(err), Retry: retryHelps(err), Message: err.Error(), Next: driver.Next(err)}
	if errors.Is(err, errInterrupted) {
		r.Code = "interrupted"
	} else if class := driver.ClassName(err); class != "" {
		r.Code = class
	}
	if ended, ok := errors.AsType[*guestError](err); ok {
		r.Code, r.Guest = "guest_exit", &ended.code
	}
	var usage *usageError
	var locked *layout.LockedError
	var newer *layout.NewerError
	var unusable *layout.UnusableError
	var crash *driver.CrashError
	var e *driver.Error
	switch {
	case errors.As(err, &usage):
		r.Code = "usage"
		r.Next = usage.next
		if r.Next == "" {
			r.Next = usage.command + " --help"
		}
	case errors.As(err, &locked):
		r.Code = "locked"
		if r.Next == "" {
			r.Next = "try again when it is done, or wait for it with --lock-timeout"
		}
	case errors.As(err, &unusable):
		r.Code = "unusable_state"
		r.Next = "name a folder of yours with --state-dir or MICROAGENT_STATE_DIR"
	case errors.As(err, &newer):
		r.Code = "newer_state"
		r.Next = "use microagent " + newer.Tool + " or later, or another --state-dir"
	}
	r.fuller(err)
	if errors.As(err, &e) {
		r.Op, r.Object = e.Op, e.Object
	}
	if errors.As(err, &crash) {
		r.Console, r.Log = crash.Console, crash.Log
	}
	if ended, ok := errors.AsType[apply.ProcessError](err); ok {
		_, r.written = ended.Ended()
		for _, l := range r.written {
			if l.Stream == "stdout" {
				r.Stdout = append(r.Stdout, l.Text)
			} else {
				r.Stderr = append(r.Stderr, l.Text)
			}
		}
	}
	r.Next = a.reaching(r.Next)
	return r
}

// maxMessage bounds a message in bytes: a guest may have written it.
const maxMessage = 4096

// printError tells err on stderr: the only place that does.
//
//	error: op object: why
//	  | last lines of the guest's console, or of the process's stderr
//	next: what to do
//
// For programs, with --json or --progress json, it is one line {"error": report}.
//
// Message and advice are one printable line each, on a terminal and in a pipe: a guest may have written parts of them.
func (a *app) printError(err error) {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		if _, one := err.(*driver.Error); !one {
			for _, e := range several.Unwrap() {
				a.printError(e)
			}
			return
		}
	}
	var code *exitError
	if errors.As(err, &code) && code.err == nil {
		return
	}
	var invalid *invalidError
	if errors.As(err, &invalid) {
		a.diagnostics(invalid.list)
		if !a.Records() {
			fmt.Fprintf(a.Err, "%s\n", countingFaults(invalid.list))
		}
		return
	}
	r := a.describe(err)
	if a.Records() {
		data, _ := json.Marshal(struct {
			Error report `json:"error"`
		}{r})
		fmt.Fprintf(a.Err, "%s\n", printable.JSON(string(data)))
		return
	}
	fmt.Fprintf(a.Err, "%s %s\n", a.Paint(term.Red, "error:"), printable.Line(printable.Cut(r.Message, maxMessage)))
	for _, line := range r.Console {
		fmt.Fprintf(a.Err, "  | %s\n", printable.Text(line))
	}
	for _, line := range r.written {
		fmt.Fprintf(a.Err, "  | %s\n", printable.Text(line.Text))
	}
	if r.Log != "" {
		fmt.Fprintf(a.Err, "  the whole console: %s\n", r.Log)
	}
	if r.Next != "" {
		fmt.Fprintf(a.Err, "%s %s\n", a.Paint(term.Bold, "next:"), printable.Line(printable.Cut(r.Next, maxMessage)))
	}
}

// countingFaults says how many errors a list has, and how many warnings where those are what it is refused for.
func countingFaults(list *diag.List) string {
	errs, warnings := list.Count()
	if errs == 0 {
		return counting(warnings, "warning")
	}
	return counting(errs, "error")
}

// joined is a list in words: "a, b and c".
func joined(list []string) string {
	switch len(list) {
	case 0:
		return ""
	case 1:
		return list[0]
	}
	return strings.Join(list[:len(list)-1], ", ") + " and " + list[len(list)-1]
}

// counting is a number of things in words: "1 error", "3 errors".
func counting(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
