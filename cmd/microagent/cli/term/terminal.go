package term

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/term"

	"microagent/runtime/driver"
)

// Streams are our own standard streams for a process in a guest. done puts the terminal back and ends what
// watches it; it is called once, after the process.
func (t *Screen) Streams(ctx context.Context, interactive, tty bool) (s driver.Streams, done func(), err error) {
	s = driver.Streams{Stdout: t.Out, Stderr: t.Err, Terminal: tty}
	if interactive {
		s.Stdin = t.In
	}
	in, ok := t.In.(*os.File)
	if !tty {
		stdout, endOut := GuestText(t.Out)
		stderr, endErr := GuestText(t.Err)
		s.Stdout, s.Stderr = stdout, stderr
		return s, func() { endOut(); endErr() }, nil
	}
	if !ok || !IsTerminal(in) {
		return s, nil, &driver.Error{Class: driver.ErrInvalid, Op: "give the process a terminal",
			Err: errors.New("our stdin is none"), Next: "leave -t out"}
	}
	before, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return s, nil, err
	}
	sizes := make(chan driver.WindowSize, 1)
	s.Resize = sizes
	ctx, stop := context.WithCancel(ctx)
	var wait sync.WaitGroup
	wait.Go(func() { watchSize(ctx, in, sizes) })
	return s, func() {
		stop()
		wait.Wait()
		_ = term.Restore(int(in.Fd()), before)
	}, nil
}

// watchSize sends the terminal's size now and at each change; only the newest matters.
func watchSize(ctx context.Context, f *os.File, sizes chan driver.WindowSize) {
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGWINCH)
	defer signal.Stop(changed)
	for {
		if w, h, err := term.GetSize(int(f.Fd())); err == nil {
			select {
			case <-sizes:
			default:
			}
			sizes <- driver.WindowSize{Rows: uint16(h), Columns: uint16(w)}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}
