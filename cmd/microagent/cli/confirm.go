package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"microagent/runtime/driver"
)

// confirm asks a question that only "yes" answers. Without a terminal nothing is asked and command, which
// says yes in advance, is what the error advises.
func (a *app) confirm(ctx context.Context, op, object, question, command string) error {
	in, ok := a.stdin.(*os.File)
	if !ok || !isTerminal(in) || !isTerminal(a.stderr) {
		return &driver.Error{Class: driver.ErrRefused, Op: op, Object: object,
			Err: errors.New("nobody is there to confirm it"), Next: command}
	}
	fmt.Fprintf(a.stderr, "%s Type yes to go on: ", question)
	line, err := answer(ctx, in)
	if err != nil {
		fmt.Fprintln(a.stderr)
		return err
	}
	if strings.TrimSpace(line) != "yes" {
		return &driver.Error{Class: driver.ErrRefused, Op: op, Object: object, Err: errors.New("not confirmed")}
	}
	return nil
}

// answer reads a line of a terminal, and gives up when ctx ends, which a read alone would not notice.
func answer(ctx context.Context, in *os.File) (string, error) {
	const look = 50 // milliseconds
	var line []byte
	buf := make([]byte, 256)
	for {
		fds := []unix.PollFd{{Fd: int32(in.Fd()), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, look)
		switch {
		case ctx.Err() != nil:
			return "", ctx.Err()
		case err != nil && !errors.Is(err, unix.EINTR):
			return "", fmt.Errorf("wait for an answer: %w", err)
		case n <= 0:
			continue
		}
		n, err = in.Read(buf)
		line = append(line, buf[:n]...)
		if errors.Is(err, io.EOF) || strings.Contains(string(line), "\n") {
			return string(line), nil
		}
		if err != nil {
			return "", fmt.Errorf("read the answer: %w", err)
		}
	}
}
