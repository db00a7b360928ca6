package cli

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"microagent/apply"
	"microagent/runtime/driver"
)

type runFlags struct {
	composeFlags
	exec       string
	entrypoint string
	keep       bool
	tty        bool
	stdin      bool
}

func (a *app) runCommand() *cobra.Command {
	var o runFlags
	cmd := &cobra.Command{
		Use: "run [flags] IMAGE [--] [CMD...]", Short: "run a command in a workspace of its own", Args: cobra.ArbitraryArgs,
		Long: "Creates a workspace, runs the command in it and deletes it. The exit code is the command's, its stdout and\n" +
			"stderr are ours and apart, our stdin is its own. Volumes stay, and outputs are collected when the command\n" +
			"ends, also when it failed or was interrupted; one that can't be brought out keeps the workspace. ^C interrupts\n" +
			"the command, and kills it after 10 seconds; a second ^C waits for nothing.",
		Example: "  microagent run docker.io/library/alpine:3.20 echo hello\n" +
			"  microagent run -v data:/work docker.io/library/alpine:3.20 sh -c \"echo 42 > /work/counter.txt\"\n" +
			"  microagent run --bundle config=/tmp/config.tar:/config:ro --image docker.io/library/alpine:3.20 --exec \"cat /config/hello.txt\"",
		Annotations: exitsWith(ExitOK, ExitGuest, ExitUsage, ExitTimeout, ExitOurs, ExitInterrupted),
		RunE: does(func(ctx context.Context, args []string) error {
			if o.image == "" && len(args) > 0 {
				o.image, args = args[0], args[1:]
			}
			args = commandOf(args)
			p, err := o.parse(a, "run-"+strconv.FormatInt(time.Now().UnixNano(), 10))
			if err == nil && o.exec != "" && len(args) > 0 {
				err = errors.New("--exec and a command exclude each other")
			}
			if err != nil {
				return badFlag("microagent run", err)
			}
			p.oneShot = !o.keep
			p.spec.Argv = args
			if o.exec != "" {
				p.spec.Argv, p.spec.NoEntry = []string{"sh", "-c", o.exec}, true
			}
			if o.entrypoint != "" {
				p.spec.Entrypoint = []string{o.entrypoint}
			}
			return a.runOnce(ctx, o, p)
		}),
	}
	a.flags.shadow(cmd, "verbose")
	o.add(cmd)
	f := cmd.Flags()
	f.SetInterspersed(false)
	f.StringArrayVar(&o.outputs, "output", nil, "`name=/guest/path[:host/path]` to bring out when the command ends; :unchanged=allow also what it did not change")
	f.BoolVar(&o.how.Over, "overwrite-outputs", false, "let outputs replace what is there on the host")
	allowGit(f, &o.how.Git)
	f.StringVar(&o.exec, "exec", "", "a line for sh in the guest, in the place of CMD")
	f.StringVar(&o.entrypoint, "entrypoint", "", "replace the image's entrypoint")
	f.BoolVar(&o.keep, "keep", false, "keep the workspace afterwards")
	f.BoolVarP(&o.tty, "tty", "t", false, "give the command a terminal")
	f.BoolVarP(&o.stdin, "interactive", "i", false, "taken for the habit's sake: stdin is passed on anyway")
	spanVar(f, &o.timeout, "timeout", "end the command after this long, with exit code 124")
	return mapping(cmd)
}

// badFlag makes an error of flags one of usage, unless it is a refusal.
func badFlag(command string, err error) error {
	if errors.Is(err, driver.ErrRefused) {
		return err
	}
	return usagef(command, "%w", err)
}

// runOnce makes the workspace, runs the command and leaves nothing but what was asked for.
func (a *app) runOnce(ctx context.Context, o runFlags, p parsed) error {
	w, err := a.open(true)
	if err != nil {
		return guestCode(0, err)
	}
	ws, err := a.compose(ctx, w, p)
	switch {
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return guestCode(0, err)
	}
	command := apply.Command{Workspace: ws, Spec: p.spec, Timeout: o.timeout, Keep: o.keep, How: o.how,
		Start: func(ctx context.Context, name string) (driver.Run, error) {
			return a.startGuest(ctx, w, name, driver.StartOptions{}, true)
		},
		Streams: func(ctx context.Context) (driver.Streams, func(), error) { return a.Streams(ctx, true, o.tty) }}
	for _, e := range p.outputs {
		command.Outputs = append(command.Outputs, apply.HostOutput{Name: e.name, Path: e.host})
	}
	waiting, stopWaiting := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWaiting()
	stop := a.onSecondSignal(stopWaiting)
	end := apply.Once(ctx, waiting, w.Set, command)
	stop()
	return a.reportEnd(ws.Spec.Name, end, o.keep)
}

// reportEnd says what became of a command's outputs and workspace, and gives the exit code.
func (a *app) reportEnd(name string, end apply.CommandEnd, asked bool) error {
	err := a.reportOutputs(guestCode(end.Code, end.Err), end.Written, end.Unwritten)
	switch {
	case end.Cleanup != nil:
		return errors.Join(err, guestCode(0, end.Cleanup))
	case end.Kept && !asked && end.Lost:
		a.Say("kept: workspace %s, with what its command left; cp -r brings it out", name)
	case end.Kept && !asked:
		a.Say("kept: workspace %s, with the outputs that could not be written: microagent output list %s", name, name)
	case end.Kept:
		a.Say("kept: workspace %s", name)
	}
	return err
}

// reportOutputs says what became of outputs, and gives the end of what they are of: one that was not written makes a
// success a failure of ours.
func (a *app) reportOutputs(end error, written []driver.Fetched, unwritten []error) error {
	for _, f := range written {
		a.sayNotes(f)
	}
	for _, err := range unwritten {
		a.printError(err)
		if end == nil {
			end = &printedError{exits(ExitOurs, err)}
		}
	}
	return end
}
