package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
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
		{&driver.Error{Class: driver.ErrBusy}, ExitLocked},
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
		for line := range strings.SplitSeq(cmd.Long, "\n") {
			if len(line) > 120 {
				t.Errorf("%s: a line of its help is wider than 120 columns: %s", cmd.Name(), line)
			}
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
		_, row, listed := bytes.Cut(readme, fmt.Appendf(nil, "\n| %d | ", code))
		row, _, _ = bytes.Cut(row, []byte("\n"))
		want := "no"
		switch {
		case code == ExitOK:
			want = ""
		case code == ExitFailed:
			want = "`--json` says"
		case slices.Contains(retryExits, code):
			want = "yes"
		}
		cells := strings.Split(string(row), " |")
		if !listed || len(cells) < 2 || strings.TrimSpace(cells[1]) != want {
			t.Errorf("the README does not list exit code %d with %q for a retry: %q", code, want, row)
		}
	}
}

// TestRetryByNumber: who sees only the number decides as who reads the error, for errors of every class and of none.
func TestRetryByNumber(t *testing.T) {
	var invalid diag.List
	invalid.Add(diag.Diagnostic{Severity: diag.Error, Code: "x", Summary: "y"})
	errs := []error{errors.New("x"), usagef("x", "y"), errInterrupted, context.DeadlineExceeded, &layout.LockedError{Kind: "project"},
		&layout.NewerError{}, &invalidError{&invalid, ExitInvalid}, exits(ExitPartly, errors.New("x")), &driver.CrashError{}}
	source, err := os.ReadFile("../../../runtime/driver/classes.go")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\t\{Err\w+, "(\w+)"`).FindAllSubmatch(source, -1)
	if len(rows) < 13 {
		t.Fatalf("only %d classes", len(rows))
	}
	for _, row := range rows {
		class := driver.ClassOf(string(row[1]))
		if class == nil {
			t.Fatalf("%s is no class", row[1])
		}
		errs = append(errs, &driver.Error{Class: class, Op: "do", Object: "it"})
	}
	for _, err := range errs {
		if code := exitCode(err); code != ExitFailed && slices.Contains(retryExits, code) != retryHelps(err) {
			t.Errorf("%v: code %d, and its report says %v", err, code, retryHelps(err))
		}
		if code := exitCode(guestCode(0, err)); code == ExitFailed || code == ExitGuest {
			t.Errorf("%v: code %d of run is the guest's", err, code)
		}
		mapped := mapExit(guestCode(0, err))
		if code := exitCode(mapped); slices.Contains(retryExits, code) != retryHelps(mapped) || code == ExitGuest || code == ExitOK {
			t.Errorf("%v: code %d with --map-exit, and its report says %v", err, code, retryHelps(mapped))
		}
	}
	for guests := 1; guests < 256; guests++ {
		err := mapExit(guestCode(guests, nil))
		if r := (&app{}).describe(err); exitCode(err) != ExitGuest || r.Code != "guest_exit" || *r.Guest != guests || r.Retry || !strings.Contains(r.Message, fmt.Sprint(guests)) {
			t.Errorf("the guest's %d: %d, %+v", guests, exitCode(err), r)
		}
	}
	if err := mapExit(guestCode(0, nil)); err != nil {
		t.Errorf("the guest's 0: %v", err)
	}
	both := mapExit(errors.Join(guestCode(5, nil), guestCode(0, &driver.Error{Class: driver.ErrRefused})))
	if exitCode(both) != ExitGuest {
		t.Errorf("the guest failed, and tidying up did: %d", exitCode(both))
	}
	told := mapExit(&printedError{exits(ExitOurs, &driver.Error{Class: driver.ErrRefused})})
	if _, ok := told.(*printedError); !ok || exitCode(told) != ExitRefused {
		t.Errorf("told already: %v, %d", told, exitCode(told))
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

// taking are commands that change an object which another command may be at, so that they can end with ExitLocked.
var taking = []string{
	"apply", "destroy", "create", "start", "restart", "reset", "restore", "delete", "cp", "volume create", "volume adopt", "volume grow", "volume protect",
	"volume unprotect", "volume delete", "volume clone", "volume snapshot", "volume restore", "volume import", "prune",
	"image rm", "kernel install",
}

func TestExitsOfWhatIsInUse(t *testing.T) {
	a, _, _ := fake()
	for _, words := range taking {
		cmd, rest, err := a.root().Find(strings.Fields(words))
		if err != nil || len(rest) > 0 {
			t.Errorf("there is no command %s: %v", words, err)
			continue
		}
		if codes := exitsOf(cmd); !slices.Contains(codes, ExitLocked) {
			t.Errorf("the help of %s has no exit code %d: %v", words, ExitLocked, codes)
		}
	}
}
