package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"microagent/cmd/microagent/cli/term"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/schema/diag"
)

func TestExitCode(t *testing.T) {
	var invalid diag.List
	invalid.Add(diag.Diagnostic{Severity: diag.Error, Code: "x", Summary: "y"})
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, ExitOK},
		{errors.New("x"), ExitFailed},
		{&driver.Error{Class: driver.ErrNotFound}, ExitFailed},
		{exits(ExitChanges, nil), ExitChanges},
		{exits(ExitPartly, errors.New("x")), ExitPartly},
		{&invalidError{&invalid, ExitInvalid}, ExitInvalid},
		{fmt.Errorf("a: %w", &driver.Error{Class: driver.ErrRefused}), ExitRefused},
		{&driver.Error{Class: driver.ErrBusy}, ExitRefused},
		{&driver.Error{Class: driver.ErrStale}, ExitRefused},
		{&layout.LockedError{Kind: "project"}, ExitLocked},
		{&driver.Error{Class: driver.ErrLocked}, ExitLocked},
		{usagef("x", "y"), ExitUsage},
		{&driver.Error{Class: driver.ErrTimeout}, ExitTimeout},
		{guestCode(0, errors.New("x")), ExitOurs},
		{guestCode(0, &driver.Error{Class: driver.ErrTimeout}), ExitTimeout},
		{guestCode(0, &driver.Error{Class: driver.ErrBusy}), ExitOurs},
		{guestCode(3, nil), 3},
		{guestCode(0, nil), ExitOK},
		{errInterrupted, ExitInterrupted},
		{context.Canceled, ExitInterrupted},
		{&printedError{exits(ExitPartly, errors.New("x"))}, ExitPartly},
	} {
		if got := exitCode(c.err); got != c.want {
			t.Errorf("exit code of %v is %d, want %d", c.err, got, c.want)
		}
	}
}

// TestExitMeanings: every code that a command's help lists has words.
func TestExitMeanings(t *testing.T) {
	a, _, _ := fake()
	commands := a.root().Commands()
	if len(commands) < 20 {
		t.Fatalf("only %d commands", len(commands))
	}
	for _, cmd := range commands {
		if cmd.Hidden || cmd.Name() == "help" || !cmd.Runnable() {
			continue
		}
		codes := exitsOf(cmd)
		if len(codes) == 0 {
			t.Errorf("%s lists no exit codes", cmd.Name())
		}
		if cmd.Example == "" && !cmd.HasSubCommands() {
			t.Errorf("%s has no example", cmd.Name())
		}
		for _, code := range codes {
			if exitMeanings[code] == "" {
				t.Errorf("%s: code %d has no meaning", cmd.Name(), code)
			}
		}
	}
}

// TestReadmeTable holds the README's table to the one that counts.
func TestReadmeTable(t *testing.T) {
	readme, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for code := range exitMeanings {
		if !bytes.Contains(readme, fmt.Appendf(nil, "\n| %d | ", code)) {
			t.Errorf("the README does not list exit code %d", code)
		}
	}
}

func fake() (*app, *bytes.Buffer, *bytes.Buffer) {
	var stdout, stderr bytes.Buffer
	a := &app{Screen: &term.Screen{In: strings.NewReader(""), Out: &stdout, Err: &stderr, Getenv: func(string) string { return "" }}}
	return a, &stdout, &stderr
}

func TestPrintError(t *testing.T) {
	crash := &driver.Error{Op: "run task of workspace", Object: "job", Next: "microagent logs job",
		Err: &driver.CrashError{Workspace: "job", Phase: "boot", Reason: "kernel panic", Console: []string{"a\x1b[2Jb"}, Log: "/x/console.log"}}
	a, _, stderr := fake()
	a.printError(crash)
	want := "error: run task of workspace job: guest of workspace job failed during boot: kernel panic\n" +
		"  | a\\x1b[2Jb\n  the whole console: /x/console.log\nnext: microagent logs job\n"
	if stderr.String() != want {
		t.Errorf("got %q, want %q", stderr, want)
	}
	a, _, stderr = fake()
	a.JSON = true
	a.printError(crash)
	for _, part := range []string{`{"error":{"code":"guest_failed","exit":1,`, `"object":"job"`, `"next":"microagent logs job"`, `"log":"/x/console.log"`} {
		if !strings.Contains(stderr.String(), part) {
			t.Errorf("%s lacks %s", stderr, part)
		}
	}
	a, _, stderr = fake()
	a.printError(exits(7, nil))
	if stderr.Len() > 0 {
		t.Errorf("a guest's code was commented: %q", stderr)
	}
}

func TestConfirmWithoutTerminal(t *testing.T) {
	a, _, _ := fake()
	err := a.Confirm(t.Context(), "delete workspace", "x", "Delete?", "microagent delete x --yes")
	if exitCode(err) != ExitRefused || driver.Next(err) != "microagent delete x --yes" {
		t.Errorf("got %v, next %q", err, driver.Next(err))
	}
}
