// Package cli is the command line: it reads arguments, calls the rooms below and tells people and programs
// what came of it. Results go to stdout, everything else to stderr. It decides nothing about objects, and it
// is imported by main and by the test scripts alone.
package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/spf13/cobra"

	"microagent/cmd/microagent/cli/term"
	"microagent/runtime/layout"
)

// Program is the command line with what main puts into it.
type Program struct {
	// Guest gives the guest binary for an architecture in Go's words.
	Guest func(arch string) ([]byte, error)
	// Outside is what is outside workspaces; its zero is the host's network.
	Outside Outside
}

// Main runs one command line, without the program's name, and gives its exit code. It is all of main, and
// what the test scripts register as microagent.
func (p Program) Main(args ...string) int {
	a := &app{Screen: &term.Screen{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv}, guest: p.Guest, outside: p.Outside}
	if hidden(args) {
		return a.main(context.Background(), args)
	}
	collectLate(a.Getenv)
	ctx, stop := a.interruptible(context.Background())
	defer stop()
	return a.main(ctx, args)
}

// app is one run of the program.
type app struct {
	*term.Screen
	guest   func(arch string) ([]byte, error)
	outside Outside
	flags   globalFlags
	// world is nil for the real drivers.
	world *world
	// command is what was typed, once its flags are parsed.
	command *cobra.Command
	// parsed is set once flags and arguments were understood: an error before that is one of usage.
	parsed bool
	// secondSignal is called at the next signal after the first; see onSecondSignal.
	secondSignal atomic.Pointer[func()]
}

func (a *app) main(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.In)
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	cmd, err := root.ExecuteContextC(a.sayWaits(ctx))
	if err != nil && !a.parsed {
		err = pointToOurs(&usageError{err: flagWords(err), command: cmd.CommandPath()}, args)
		a.lookFor(args)
	}
	if err != nil && errors.Is(context.Cause(ctx), errInterrupted) && errors.Is(err, context.Canceled) {
		err = errInterrupted
	}
	if text := (*printedError)(nil); err != nil && !errors.As(err, &text) {
		a.printError(err)
	}
	return exitCode(err)
}

// lookFor finds the flags that say how an error looks behind the one that is wrong, where reading ended.
func (a *app) lookFor(args []string) {
	for i, arg := range args {
		switch {
		case arg == "--":
			return
		case arg == "--json":
			a.JSON = true
		case arg == "--progress=json", arg == "--progress" && i+1 < len(args) && args[i+1] == "json":
			a.Progress = "json"
		}
	}
}

var errInterrupted = errors.New("interrupted")

// interruptible ends the context at the first SIGINT, SIGTERM or, unless nohup had it ignored, SIGHUP, and the process at
// the second.
func (a *app) interruptible(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	done := make(chan struct{})
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(signals, syscall.SIGHUP)
	}
	var watching sync.WaitGroup
	watching.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-signals:
				if n == 0 {
					cancel(errInterrupted)
				} else if f := a.secondSignal.Swap(nil); f != nil {
					(*f)()
				} else {
					os.Exit(ExitInterrupted)
				}
			case <-done:
				return
			}
		}
	})
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		watching.Wait()
		cancel(nil)
	}
}

// onSecondSignal has the next signal after the first call f, once, in the place of ending the process, until stop is called.
func (a *app) onSecondSignal(f func()) (stop func()) {
	a.secondSignal.Store(&f)
	return func() { a.secondSignal.Store(nil) }
}

// state is the state directory of this run.
func (a *app) state() (layout.State, error) {
	dir := a.flags.stateDir
	if dir == "" {
		dir = a.Getenv("MICROAGENT_STATE_DIR")
	}
	if dir == "" {
		home := a.Getenv("HOME")
		if home == "" {
			return layout.State{}, errors.New("find the state directory: HOME is not set; give --state-dir")
		}
		dir = filepath.Join(home, ".microagent")
	}
	abs, err := filepath.Abs(dir)
	return layout.State{Dir: abs}, err
}

// readable is the state directory for a command that only reads.
func (a *app) readable() (layout.State, error) {
	s, err := a.state()
	if err != nil {
		return s, err
	}
	return s, s.Check()
}

// writable is the state directory, made if need be, for a command that writes.
func (a *app) writable() (layout.State, error) {
	s, err := a.state()
	if err != nil {
		return s, err
	}
	return s, s.Prepare(Version)
}

// action is what a command does once its arguments are understood.
type action func(ctx context.Context, args []string) error

// does makes an action a cobra one.
func does(f action) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error { return f(cmd.Context(), args) }
}
