package cli

import (
	"context"
	"errors"
	"strconv"
	"strings"
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
		Annotations: exitsWith(ExitOK, ExitUsage, ExitTimeout, ExitOurs, ExitInterrupted),
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
	f.BoolVar(&o.how.over, "overwrite-outputs", false, "let outputs replace what is there on the host")
	allowGit(f, &o.how.git)
	f.StringVar(&o.exec, "exec", "", "a line for sh in the guest, in the place of CMD")
	f.StringVar(&o.entrypoint, "entrypoint", "", "replace the image's entrypoint")
	f.BoolVar(&o.keep, "keep", false, "keep the workspace afterwards")
	f.BoolVarP(&o.tty, "tty", "t", false, "give the command a terminal")
	f.BoolVarP(&o.stdin, "interactive", "i", false, "taken for the habit's sake: stdin is passed on anyway")
	f.DurationVar(&o.timeout, "timeout", 0, "end the command after this long, with exit code 124")
	return cmd
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
	name := ws.Spec.Name
	end := context.WithoutCancel(ctx)
	patient, hurry := context.WithCancel(end)
	defer hurry()
	quiet := a.hurried(hurry)
	runErr := a.started(ctx, patient, w, o, p, ws)
	err = stopNow(patient, end, w, name)
	quiet()
	if err != nil {
		return errors.Join(runErr, guestCode(0, err))
	}
	if _, ok := errors.AsType[*unwrittenError](runErr); ok {
		ws.Spec.OneShot = false
		if _, err := w.Workspaces.Update(end, ws.Spec); err != nil {
			return errors.Join(runErr, guestCode(0, err))
		}
		a.Say("kept: workspace %s, with the outputs that could not be written: microagent output list %s", name, name)
		return runErr
	}
	if o.keep {
		a.Say("kept: workspace %s", name)
		return runErr
	}
	if err := w.Workspaces.Delete(end, name); err != nil {
		return errors.Join(runErr, guestCode(0, err))
	}
	return withoutWorkspace(runErr, name)
}

// withoutWorkspace takes out of an error what leads into a workspace that is deleted by now.
func withoutWorkspace(err error, name string) error {
	if crash, ok := errors.AsType[*driver.CrashError](err); ok {
		crash.Log = ""
	}
	if e, ok := errors.AsType[*driver.Error](err); ok && strings.Contains(driver.Next(e), name) {
		e.Next = "run it with --keep, which leaves the workspace and its console to look at"
	}
	return err
}

// stopNow shuts a guest down, and ends it without asking once patient has ended.
func stopNow(patient, ctx context.Context, w *world, name string) error {
	var err error
	if patient.Err() == nil {
		_, err = w.Runs.Stop(patient, name, driver.StopOptions{})
	}
	if patient.Err() != nil {
		_, err = w.Runs.Stop(ctx, name, driver.StopOptions{Force: true})
	}
	return err
}

// interruptGrace is how long a command may take to end after ^C.
const interruptGrace = 10 * time.Second

// interrupting gives the signals for a process once ctx has ended: it is interrupted, and killed after a grace.
func interrupting(ctx, patient context.Context) <-chan string {
	signals := make(chan string)
	go func() {
		defer close(signals)
		select {
		case <-ctx.Done():
		case <-patient.Done():
			return
		}
		select {
		case signals <- "SIGINT":
		case <-patient.Done():
			return
		}
		select {
		case <-time.After(interruptGrace):
		case <-patient.Done():
			return
		}
		select {
		case signals <- "SIGKILL":
		case <-patient.Done():
		}
	}()
	return signals
}

// started starts the workspace and runs the command; the error carries the command's exit code. When ctx ends the command
// is interrupted and its outputs come out all the same; when patient ends nothing is waited for.
func (a *app) started(ctx, patient context.Context, w *world, o runFlags, p parsed, ws driver.Workspace) error {
	name := ws.Spec.Name
	img, err := w.Images.Get(ctx, ws.Spec.ImageDigest)
	if err != nil {
		return guestCode(0, err)
	}
	argv := apply.Argv(p.spec, img.Config)
	if len(argv) == 0 {
		return guestCode(0, &driver.Error{Class: driver.ErrInvalid, Op: "run", Object: ws.Spec.Image,
			Err: errors.New("the image has no command, and none was given"), Next: "microagent run " + ws.Spec.Image + " COMMAND..."})
	}
	_, err = a.startGuest(ctx, w, name)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return guestCode(0, err)
	}
	streams, done, err := a.Streams(patient, true, o.tty)
	if err != nil {
		return guestCode(0, err)
	}
	streams.Signals = interrupting(ctx, patient)
	code, err := w.Runs.Exec(patient, name, driver.ExecSpec{Argv: argv, Timeout: o.timeout, Collect: len(p.egress) > 0}, streams)
	done()
	end := guestCode(code, err)
	if ctx.Err() != nil {
		end = ctx.Err()
	}
	if err != nil && !errors.Is(err, driver.ErrTimeout) {
		return end
	}
	return a.bringAllOut(patient, w, o, p, name, end)
}

// bringOneOut writes an output that was collected to the host.
func (a *app) bringOneOut(ctx context.Context, w *world, workspace string, e egress, how bringing) (driver.Fetched, error) {
	tree, f, err := w.Runs.OutputFile(ctx, workspace, e.name)
	if err != nil {
		return f, err
	}
	defer tree.Close()
	_, err = a.bringOut(ctx, w, tree, f, e.host, how)
	return f, err
}

// bringAllOut writes the outputs that were collected to the host. What keeps one from it is told at once, and is the
// exit code's reason only when end is none. The workspace is worth keeping then, except for what a command that failed
// did not come to write.
func (a *app) bringAllOut(ctx context.Context, w *world, o runFlags, p parsed, name string, end error) error {
	failed, keep := end != nil, o.keep
	var list []error
	for _, e := range p.egress {
		if f, err := a.bringOneOut(ctx, w, name, e, o.how); err != nil {
			list = append(list, err)
			keep = keep || !failed || !f.Missing
		}
	}
	for _, err := range list {
		if !keep {
			err = withoutWorkspace(err, name)
		}
		a.printError(err)
		if end == nil {
			end = &printedError{exits(ExitOurs, err)}
		}
	}
	if keep && len(list) > 0 {
		return &unwrittenError{end}
	}
	return end
}
