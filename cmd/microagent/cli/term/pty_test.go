package term

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"microagent/runtime/driver"
)

// terminal is a terminal of the kernel's: user is the end at which people are, ours the one that the program has.
func terminal(t *testing.T) (user, ours *os.File) {
	t.Helper()
	user, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(user.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(user.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	ours, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close(); user.Close() })
	return user, ours
}

// shown is what the program wrote to a terminal, which is closed by that.
func shown(t *testing.T, user, ours *os.File) string {
	t.Helper()
	ours.Close()
	data, err := io.ReadAll(user) // EIO is how a terminal ends
	if err != nil && !strings.Contains(err.Error(), "input/output") {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(data), "\r\n", "\n")
}

func onTerminal(ours *os.File) *Screen {
	return &Screen{In: ours, Out: ours, Err: ours, Getenv: func(string) string { return "" }, Progress: "auto", Color: "auto"}
}

func TestConfirm(t *testing.T) {
	for _, c := range []struct {
		typed string
		err   error
	}{{"yes\n", nil}, {" yes \n", nil}, {"y\n", driver.ErrRefused}, {"\n", driver.ErrRefused}, {"\x04", driver.ErrRefused}} {
		user, ours := terminal(t)
		if _, err := user.WriteString(c.typed); err != nil {
			t.Fatal(err)
		}
		err := onTerminal(ours).Confirm(t.Context(), "delete volume", "data", "All is lost.", "microagent volume delete data --yes")
		if (err == nil) != (c.err == nil) || c.err != nil && err.(*driver.Error).Class != c.err {
			t.Errorf("%q: %v", c.typed, err)
		}
		if text := shown(t, user, ours); !strings.Contains(text, "All is lost. Type yes to go on: ") {
			t.Errorf("it asked %q", text)
		}
	}
}

// TestConfirmWithoutATerminal: nobody is asked where nobody is.
func TestConfirmWithoutATerminal(t *testing.T) {
	s, _, errs := inPipe()
	err := s.Confirm(t.Context(), "delete volume", "data", "All is lost.", "microagent volume delete data --yes")
	if driver.Next(err) != "microagent volume delete data --yes" || errs.Len() > 0 {
		t.Errorf("%v, said %q", err, errs)
	}
}

func TestTableOnATerminal(t *testing.T) {
	user, ours := terminal(t)
	if err := onTerminal(ours).Table([]string{"NAME", "SIZE"}, [][]string{{"a\x1b[2J", "1"}, {"longer", ""}}); err != nil {
		t.Fatal(err)
	}
	if text, want := shown(t, user, ours), "NAME      SIZE\na\\x1b[2J  1\nlonger    -\n"; text != want {
		t.Errorf("%q, want %q", text, want)
	}
}

func TestColours(t *testing.T) {
	user, ours := terminal(t)
	s := onTerminal(ours)
	if got := s.Paint(Red, "error:"); got != "\x1b[31merror:\x1b[0m" {
		t.Errorf("on a terminal %q", got)
	}
	for _, name := range []string{"NO_COLOR", "TERM"} {
		s.Getenv = func(n string) string { return map[string]string{name: "dumb"}[n] }
		if got := s.Paint(Red, "error:"); got != "error:" {
			t.Errorf("with %s %q", name, got)
		}
	}
	if s.Color = "always"; !s.Colour(io.Discard) {
		t.Error("always is not always")
	}
	if s.Color = "never"; s.Colour(ours) {
		t.Error("never is not never")
	}
	if err := unix.IoctlSetWinsize(int(user.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 77}); err != nil {
		t.Fatal(err)
	}
	if Width(ours) != 77 || Width(io.Discard) != 0 {
		t.Errorf("widths %d and %d", Width(ours), Width(io.Discard))
	}
}

// TestGuestText: what a guest writes reaches a program as it is and a terminal as escapes.
func TestGuestText(t *testing.T) {
	user, ours := terminal(t)
	s := onTerminal(ours)
	streams, done, err := s.Streams(t.Context(), true, false)
	if err != nil {
		t.Fatal(err)
	}
	if streams.Stdin != io.Reader(ours) || streams.Terminal {
		t.Errorf("%+v", streams)
	}
	fmt.Fprint(streams.Stdout, "a\x1b]52;c;eA==\x07b\n")
	done()
	if text := shown(t, user, ours); strings.Contains(text, "\x1b") || !strings.HasPrefix(text, "a") || !strings.HasSuffix(text, "b\n") {
		t.Errorf("a terminal got %q", text)
	}
	piped, out, _ := inPipe()
	streams, done, err = piped.Streams(t.Context(), false, false)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(streams.Stdout, "a\x1bb")
	done()
	if out.String() != "a\x1bb" || streams.Stdin != nil {
		t.Errorf("a pipe got %q", out)
	}
}

// TestStreamsOfATerminal: it is raw while a process has it and as it was afterwards, and its sizes are told.
func TestStreamsOfATerminal(t *testing.T) {
	user, ours := terminal(t)
	size := func(rows, columns uint16) {
		t.Helper()
		if err := unix.IoctlSetWinsize(int(user.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
			t.Fatal(err)
		}
	}
	canonical := func() bool {
		t.Helper()
		state, err := unix.IoctlGetTermios(int(ours.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		return state.Lflag&unix.ICANON != 0
	}
	size(24, 80)
	streams, done, err := onTerminal(ours).Streams(t.Context(), true, true)
	if err != nil {
		t.Fatal(err)
	}
	if first := <-streams.Resize; first != (driver.WindowSize{Rows: 24, Columns: 80}) || !streams.Terminal {
		t.Errorf("%+v with %+v", streams, first)
	}
	if canonical() {
		t.Error("it is not raw")
	}
	size(30, 100) // no process group of ours is told by a terminal that we don't control
	if err := unix.Kill(os.Getpid(), unix.SIGWINCH); err != nil {
		t.Fatal(err)
	}
	if next := <-streams.Resize; next != (driver.WindowSize{Rows: 30, Columns: 100}) {
		t.Errorf("then %+v", next)
	}
	if done(); !canonical() {
		t.Error("it is not as it was")
	}
	piped, _, _ := inPipe()
	if _, _, err := piped.Streams(t.Context(), true, true); driver.Next(err) != "leave -t out" {
		t.Errorf("without a terminal: %v", err)
	}
}
