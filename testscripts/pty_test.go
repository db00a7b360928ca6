package testscripts

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// pty STEPS COMMAND...: runs the command on a terminal of its own, of 24 rows and 80 columns, and follows STEPS, one a
// line:
//
//	expect REGEXP      what is on the screen behind the last match comes to match, within a minute
//	send TEXT          types it; TEXT has Go's escapes, and a quote stands for itself
//	size ROWS COLUMNS  resizes the terminal
//	exit CODE          the command ends, with that code
//
// What the command wrote is in the file "screen" afterwards.
func pty(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, "pty STEPS COMMAND...")
	t, err := openTerminal()
	ts.Check(err)
	go t.read()
	defer func() {
		t.slave.Close()
		for range t.output { // until the last program on it has gone
		}
		t.master.Close()
	}()
	ts.Check(t.resize(24, 80))
	ts.Check(ts.Exec("env", "-0"))
	cmd := exec.Command(args[1], args[2:]...)
	if path, err := exec.LookPath(args[1]); err == nil {
		cmd.Path, cmd.Err = path, nil
	}
	cmd.Dir, cmd.Env = ts.MkAbs("."), strings.Split(strings.TrimSuffix(ts.ReadFile("stdout"), "\x00"), "\x00")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = t.slave, t.slave, t.slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err = cmd.Start()
	t.slave.Close()
	ts.Check(err)
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill(); <-ended }()
	defer func() { ts.Check(os.WriteFile(ts.MkAbs("screen"), t.seen, 0o644)) }()
	for _, line := range strings.Split(strings.TrimSpace(ts.ReadFile(args[0])), "\n") {
		if err := t.step(line, ended, cmd); err != nil {
			ts.Fatalf("%s: %v\nthe screen:\n%s", line, err, strconv.Quote(string(t.seen)))
		}
	}
}

// terminal is a pseudo terminal, seen from where its user sits.
type terminal struct {
	master, slave *os.File
	output        chan []byte // closed when the last program on it has gone
	seen          []byte
	matched       int // that much of seen has been expected
}

func openTerminal() (*terminal, error) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	var slave *os.File
	if err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		master.Close()
		return nil, err
	}
	return &terminal{master: master, slave: slave, output: make(chan []byte)}, nil
}

func (t *terminal) resize(rows, columns uint16) error {
	return unix.IoctlSetWinsize(int(t.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns})
}

func (t *terminal) read() {
	defer close(t.output)
	readTerminal(t.master, t.output)
}

// readTerminal reads what programs write to a terminal, until the last of them has gone. On a busy host Linux says EIO, that
// nobody is there any more, while the last that they wrote is still on its way: it comes with the next read. Whoever
// has two of these in a row has it all, since nobody writes in between.
func readTerminal(master io.Reader, output chan<- []byte) {
	for gone := 0; gone < 2; {
		buf := make([]byte, 4096)
		n, err := master.Read(buf)
		if n > 0 {
			output <- buf[:n]
		}
		switch {
		case err == nil:
			gone = 0
		case errors.Is(err, syscall.EIO):
			gone++
		default:
			return
		}
	}
}

func (t *terminal) step(line string, ended <-chan struct{}, cmd *exec.Cmd) error {
	what, arg, _ := strings.Cut(line, " ")
	switch what {
	case "expect":
		return t.expect(arg)
	case "send":
		text, err := strconv.Unquote(`"` + strings.ReplaceAll(arg, `"`, `\"`) + `"`)
		if err == nil {
			_, err = t.master.WriteString(text)
		}
		return err
	case "size":
		var rows, columns uint16
		if _, err := fmt.Sscan(arg, &rows, &columns); err != nil {
			return err
		}
		return t.resize(rows, columns)
	case "exit":
		if err := t.drain(); err != nil {
			return err
		}
		<-ended
		if got := strconv.Itoa(cmd.ProcessState.ExitCode()); got != arg {
			return fmt.Errorf("the exit code is %s", got)
		}
		return nil
	}
	return fmt.Errorf("unknown step")
}

// patience is how long a guest under emulation may take for one step.
const patience = time.Minute

func (t *terminal) expect(pattern string) error {
	want, err := regexp.Compile("(?m)" + pattern)
	if err != nil {
		return err
	}
	late := time.After(patience)
	for {
		if at := want.FindIndex(t.seen[t.matched:]); at != nil {
			t.matched += at[1]
			return nil
		}
		select {
		case more, ok := <-t.output:
			if !ok {
				return fmt.Errorf("the command has ended")
			}
			t.seen = append(t.seen, more...)
		case <-late:
			return fmt.Errorf("it does not come")
		}
	}
}

// drain reads on until nobody has the terminal any more.
func (t *terminal) drain() error {
	late := time.After(patience)
	for {
		select {
		case more, ok := <-t.output:
			if !ok {
				return nil
			}
			t.seen = append(t.seen, more...)
		case <-late:
			return fmt.Errorf("the command does not end")
		}
	}
}
