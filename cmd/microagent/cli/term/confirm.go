package term

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

// Confirm asks a question that only "yes" answers. Without a terminal nothing is asked and command, which
// says yes in advance, is what the error advises.
func (t *Screen) Confirm(ctx context.Context, op, object, question, command string) error {
	in, ok := t.In.(*os.File)
	if !ok || !IsTerminal(in) || !IsTerminal(t.Err) {
		return &driver.Error{Class: driver.ErrRefused, Op: op, Object: object,
			Err: errors.New("nobody is there to confirm it"), Next: command}
	}
	fmt.Fprintf(t.Err, "%s Type yes to go on: ", question)
	line, err := answer(ctx, in)
	if err != nil {
		fmt.Fprintln(t.Err)
		return err
	}
	if strings.TrimSpace(line) != "yes" {
		return &driver.Error{Class: driver.ErrRefused, Op: op, Object: object, Err: errors.New("not confirmed")}
	}
	return nil
}

// answer reads a line of a terminal, and gives up when ctx ends, which a read alone would not notice.
func answer(ctx context.Context, in *os.File) (string, error) {
	ended, wake, err := os.Pipe()
	if err != nil {
		return "", fmt.Errorf("wait for an answer: %w", err)
	}
	defer ended.Close()
	forget := context.AfterFunc(ctx, func() { wake.Close() })
	defer func() {
		if forget() {
			wake.Close()
		}
	}()
	var line []byte
	buf := make([]byte, 256)
	for {
		fds := []unix.PollFd{{Fd: int32(in.Fd()), Events: unix.POLLIN}, {Fd: int32(ended.Fd()), Events: unix.POLLIN}}
		_, err := unix.Poll(fds, -1)
		switch {
		case ctx.Err() != nil:
			return "", ctx.Err()
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return "", fmt.Errorf("wait for an answer: %w", err)
		}
		n, err := in.Read(buf)
		line = append(line, buf[:n]...)
		if errors.Is(err, io.EOF) || strings.Contains(string(line), "\n") {
			return string(line), nil
		}
		if err != nil {
			return "", fmt.Errorf("read the answer: %w", err)
		}
	}
}
