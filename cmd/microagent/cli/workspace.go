package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"microagent/apply"
	"microagent/cmd/microagent/cli/view"

	"github.com/spf13/cobra"

	"microagent/runtime/driver"
	"microagent/schema/printable"
	"microagent/schema/spec"
)

// workspace finds the workspace that the user means.
func (a *app) workspace(ctx context.Context, w *world, op, name string) (driver.Workspace, error) {
	return find(a, op, name, "microagent list", func(n string) (driver.Workspace, error) { return w.Workspaces.Get(ctx, n) })
}

// opened is open and workspace in one.
func (a *app) opened(ctx context.Context, writes bool, op, name string) (*world, driver.Workspace, error) {
	w, err := a.open(writes)
	if err != nil {
		return nil, driver.Workspace{}, err
	}
	ws, err := a.workspace(ctx, w, op, name)
	return w, ws, err
}

func (a *app) listCommand() *cobra.Command {
	var jobs, kept bool
	cmd := &cobra.Command{
		Use: "list [WORKSPACE...]", Aliases: []string{"ls", "ps"}, Short: "list workspaces, or jobs",
		Long:        "Those that are named; else all in the state directory, or with --project those of that project.",
		Example:     "  microagent list\n  microagent list --json\n  microagent list --jobs\n  microagent list --jobs scratch\n  microagent list --kept",
		Annotations: exitsWith(ExitOK, ExitFailed),
		RunE: does(func(ctx context.Context, args []string) error {
			w, err := a.open(false)
			if err != nil {
				return err
			}
			if kept {
				return a.listKept(ctx, w, args)
			}
			list, broken := a.listed(ctx, w, args)
			if jobs {
				return a.listJobs(ctx, w, list, broken)
			}
			askGuests(ctx, w, list)
			before, err := a.keptOf(ctx, w, a.flags.project, args, list)
			if err != nil {
				return err
			}
			if a.JSON {
				return errors.Join(a.PrintJSON(withKept(view.OfWorkspaces(list), before)), broken)
			}
			head, rows := []string{"NAME", "STATE", "IMAGE"}, [][]string{}
			if slices.ContainsFunc(list, hasPorts) {
				head = append(head, "PORTS")
			}
			for _, ws := range list {
				a.sayDrift(ws)
				row := []string{ws.Spec.Name, view.State(ws), ws.Spec.Image}
				if len(head) > len(row) {
					row = append(row, portList(portsOf(ws)))
				}
				rows = append(rows, row)
			}
			return errors.Join(a.Table(head, rows), broken)
		}),
	}
	cmd.Flags().BoolVar(&jobs, "jobs", false, "list what exec -d began, those that ended as well")
	cmd.Flags().BoolVar(&kept, "kept", false, "list the root file systems that were replaced, or whose workspace was deleted, and that restore brings back")
	cmd.MarkFlagsMutuallyExclusive("jobs", "kept")
	return cmd
}

// listed are the workspaces with those names, without any all that are asked for, and what is wrong with others.
func (a *app) listed(ctx context.Context, w *world, names []string) (list []driver.Workspace, broken error) {
	if len(names) == 0 {
		list, broken = w.Workspaces.List(ctx)
		return asked(a, list, func(ws driver.Workspace) string { return ws.Spec.Project }), broken
	}
	chosen := a.choose(ctx, w, "list workspace", names)
	var failed severalError
	for i, ws := range chosen.workspaces {
		if err := chosen.errs[i]; err != nil {
			failed = append(failed, err)
			continue
		}
		list = append(list, ws)
	}
	return list, failed.of()
}

// started is the record of a start.
type started struct {
	Name string `json:"name"`
	view.Run
}

func (a *app) startCommand() *cobra.Command {
	var flags []string
	var network networkFlags
	var until waitFlags
	var fresh bool
	cmd := &cobra.Command{
		Use: "start WORKSPACE...", Short: "start workspaces",
		Long: "Starts a workspace and returns when its guest and its command run; with --wait when it is ready, as its ready\n" +
			"says. It goes on also when it does not become so. A service that ends at once is a failure, told with what it\n" +
			"wrote.\n" + sequenceText + severalText,
		Example:     "  microagent start scratch\n  microagent start scratch -p 8080:80\n  microagent start db web --wait --wait-timeout 1m",
		Annotations: exitsWith(ExitOK, ExitFailed, ExitRefused, ExitLocked, ExitUsage, ExitTimeout),
		RunE: does(func(ctx context.Context, args []string) error {
			ports, err := parsePorts(flags)
			if err == nil {
				err = network.parse()
			}
			if err != nil {
				return usagef("microagent start", "%w", err)
			}
			if err := until.check("start"); err != nil {
				return err
			}
			if len(args) > 1 && len(ports) > 0 {
				return usagef("microagent start", "-p publishes ports of one workspace, and there are %d", len(args))
			}
			w, err := a.open(true)
			if err != nil {
				return err
			}
			return a.inSequence(ctx, w, a.choose(ctx, w, "start workspace", args), func(ctx context.Context, seq *apply.Sequence, ws driver.Workspace) (told, error) {
				own := driver.StartOptions{Ports: ports, NoNetwork: network.net == "none", Fresh: fresh}
				if network.given() {
					own.Network = network.widen(ws.Spec.Network)
				}
				run, err := a.bringUpIn(ctx, w, seq, ws, own, until)
				if err != nil {
					return told{}, err
				}
				if !run.Hardware {
					a.Say("%s: runs on %s, which is no security boundary", ws.Spec.Name, run.VMM)
				}
				return told{started{ws.Spec.Name, view.OfRun(run)}, "Started %q", []any{ws.Spec.Name}}, nil
			})
		}),
	}
	addPorts(cmd.Flags(), &flags, "`[ADDR:]HOST:GUEST[/tcp|udp]` or unix:PATH:GUEST, published until this run ends")
	network.add(cmd.Flags(), "what the guest may reach in this run, besides what it may anyway; host:PORT is a port of this host")
	cmd.Flags().BoolVar(&fresh, "boot", false, bootUsage+" in this run")
	cmd.Flags().BoolVar(&until.wait, "wait", false, "wait until it is ready")
	until.add(cmd.Flags())
	return cmd
}

func (a *app) haltCommand() *cobra.Command {
	var o driver.StopOptions
	var job string
	cmd := &cobra.Command{
		Use: "halt WORKSPACE...", Aliases: []string{"stop"}, Short: "stop workspaces, or a job",
		Long: "Asks the guest to shut down, and forces it when the grace period is over. Whatever the guest does, it has\n" +
			"ended five seconds after that.\n" + sequenceText + severalText + "\n\n" +
			"With --job the workspace goes on, and the job alone gets a SIGTERM, and a SIGKILL when the grace (10 seconds)\n" +
			"is over, or with --force at once.",
		Example:     "  microagent halt scratch\n  microagent halt db web --grace 1m",
		Annotations: exitsWith(ExitOK, ExitFailed),
		RunE: does(func(ctx context.Context, args []string) error {
			if job != "" {
				if len(args) > 1 {
					return usagef("microagent halt", "--job is of one workspace, and there is %q as well", args[1])
				}
				return a.haltJob(ctx, args[0], job, o)
			}
			w, err := a.open(true)
			if err != nil {
				return err
			}
			return a.inSequence(ctx, w, a.choose(ctx, w, "halt workspace", args), func(ctx context.Context, seq *apply.Sequence, ws driver.Workspace) (told, error) {
				var how driver.Stopped
				err := seq.Down(ctx, ws.Spec.Name, func() (err error) {
					how, err = a.halt(ctx, w, ws.Spec.Name, o)
					return err
				})
				if err != nil {
					return told{}, err
				}
				text := "Halted %q"
				if !how.Was {
					text = "%q was not running"
				}
				return told{map[string]any{"name": ws.Spec.Name, "was_running": how.Was, "forced": how.Forced}, text, []any{ws.Spec.Name}}, nil
			})
		}),
	}
	spanVar(cmd.Flags(), &o.Grace, "grace", "how long the guest may take (default: the workspace's own)")
	cmd.Flags().BoolVar(&o.Force, "force", false, "don't ask the guest")
	a.jobFlag(cmd, &job, "stop the job with this `ID` alone")
	return cmd
}

func (a *app) deleteCommand() *cobra.Command {
	var yes bool
	var loss lossFlag
	cmd := &cobra.Command{
		Use: "delete WORKSPACE...", Aliases: []string{"rm"}, Short: "delete workspaces",
		Long: "Stops the workspace, within five seconds, and deletes it with its root file system. That of a project's workspace\n" +
			"is kept until the next replacement or prune, and restore brings it back, unless --allow-data-loss names it. Its\n" +
			"volumes are released and keep their data; halt it first when what runs in it needs longer to end.\n" +
			"What comes after another of them, as their manifests' after says, goes before it.\n" + severalText,
		Example:     "  microagent delete scratch --yes\n  microagent delete one two --yes",
		Annotations: exitsWith(ExitOK, ExitFailed, ExitRefused, ExitLocked),
		RunE: does(func(ctx context.Context, args []string) error {
			if err := loss.check(a.command.CommandPath(), "workspace"); err != nil {
				return err
			}
			w, err := a.open(true)
			if err != nil {
				return err
			}
			chosen := a.choose(ctx, w, "delete workspace", args)
			chosen.unreadableToo()
			if names := chosen.names(); !yes && len(names) > 0 {
				noun, whose := "workspace", "its"
				if len(names) > 1 {
					noun, whose = "workspaces", "their"
				}
				if err := a.Confirm(ctx, "delete workspace", joined(names), "Delete "+noun+" "+joined(names)+" with the files outside "+whose+" volumes?",
					"microagent delete "+strings.Join(names, " ")+" --yes"); err != nil {
					return err
				}
			}
			return a.inSequence(ctx, w, chosen, func(ctx context.Context, seq *apply.Sequence, ws driver.Workspace) (t told, err error) {
				err = seq.Down(ctx, ws.Spec.Name, func() (err error) {
					t, err = a.remove(ctx, w, ws, loss)
					return err
				})
				return t, err
			})
		}),
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "don't ask")
	loss.add(cmd.Flags(), "workspace/NAME")
	return cmd
}

// remove stops a workspace and deletes it.
func (a *app) remove(ctx context.Context, w *world, ws driver.Workspace, loss lossFlag) (told, error) {
	if _, err := a.stopToDelete(ctx, w, ws.Spec.Name, false); err != nil {
		return told{}, err
	}
	keep := ws.Spec.Project != "" && !ws.Spec.OneShot && !slices.Contains(loss, "workspace/"+ws.Spec.Name)
	away := w.Workspaces.Delete
	if keep {
		away = w.Workspaces.Retire
	}
	err := away(ctx, ws.Spec.Name)
	if keep {
		err = apply.KeepError(err, ws.Spec.Name, "make room, or give it up: microagent delete "+ws.Spec.Name+" --yes --allow-data-loss=workspace/"+ws.Spec.Name)
	}
	if err != nil {
		return told{}, err
	}
	if keep {
		a.Say("its root file system is kept until the next replacement or prune; to bring it back: %s", restoring(ws.Spec.Name, false))
	}
	var volumes []string
	for _, m := range ws.Spec.Mounts {
		if m.Kind == spec.MountVolume {
			volumes = append(volumes, m.Name)
		}
	}
	if len(volumes) > 0 {
		a.Say("kept: volume %s", joined(volumes))
	}
	return told{map[string]any{"deleted": ws.Spec.Name, "kept_volumes": nonNil(volumes), "kept_rootfs": keep}, "Deleted %q", []any{ws.Spec.Name}}, nil
}

// What a guest gets whose root file system is taken away: its volumes are worth a proper end, itself is worth no wait.
const (
	deleteGrace = time.Second
	deleteLimit = 4500 * time.Millisecond // of which its supervisor needs less, unless it is stuck or an older one
)

// stopToDelete shuts a guest down, and ends it when that takes long, which it says. With again it is to run again.
func (a *app) stopToDelete(ctx context.Context, w *world, name string, again bool) (driver.Stopped, error) {
	waiting, cancel := context.WithTimeout(ctx, deleteLimit)
	defer cancel()
	how, err := w.Runs.Stop(waiting, name, driver.StopOptions{Grace: deleteGrace, Again: again})
	if waiting.Err() != nil && ctx.Err() == nil {
		was := how.Was // it may have ended between the two
		how, err = w.Runs.Stop(ctx, name, driver.StopOptions{Force: true, Again: again})
		how.Was = how.Was || was
	}
	if err == nil && how.Forced {
		a.sayForced(name)
	}
	return how, err
}

func (a *app) waitCommand() *cobra.Command {
	var timeout time.Duration
	var job string
	var how apply.Writing
	cmd := &cobra.Command{
		Use: "wait WORKSPACE", Short: "wait until a workspace's run, or a job in it, has ended",
		Long: "Waits and exits with the code of the task or service that ran.\n\n" +
			"With --job it waits for what exec -d began, brings its outputs to where that was told, whole or not at all, and\n" +
			"exits with its code as exec does. A job that was lost with its guest has none, and that is a failure of ours.",
		Example:     "  microagent wait counter --timeout 5m\n  microagent wait --job k7q scratch",
		Annotations: exitsWith(ExitOK, ExitGuest, ExitTimeout, ExitOurs, ExitInterrupted),
		RunE: does(func(ctx context.Context, args []string) error {
			if job != "" {
				return a.waitJob(ctx, args[0], job, timeout, how)
			}
			w, ws, err := a.opened(ctx, false, "wait for workspace", args[0])
			if err != nil {
				return guestCode(0, err)
			}
			waiting := ctx
			if timeout > 0 {
				var cancel context.CancelFunc
				waiting, cancel = context.WithTimeout(ctx, timeout)
				defer cancel()
			}
			run, err := w.Runs.Wait(waiting, ws.Spec.Name)
			if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
				err = &driver.Error{Class: driver.ErrTimeout, Op: "wait for workspace", Object: ws.Spec.Name,
					Err: fmt.Errorf("it still runs after %s", timeout), Next: "to end it: microagent halt " + ws.Spec.Name}
			}
			if err != nil {
				return guestCode(0, err)
			}
			if a.JSON {
				if err := a.PrintJSON(view.OfRun(run)); err != nil {
					return err
				}
			}
			if why := driver.OutOfMemory(printable.Line(run.OutOfMemory), ws.Spec.Memory); why != "" {
				a.Say("%s", why)
			}
			return runEnd(ws.Spec.Name, run)
		}),
	}
	spanVar(cmd.Flags(), &timeout, "timeout", "give up waiting after this long; the run goes on")
	a.jobFlag(cmd, &job, "wait for the job with this `ID`")
	cmd.Flags().BoolVar(&how.Over, "overwrite-outputs", false, "let a job's outputs replace what is there on the host")
	allowGit(cmd.Flags(), &how.Git)
	return mapping(cmd)
}

// runEnd is the exit code of a run that ended.
func runEnd(name string, run driver.Run) error {
	switch {
	case run.Phase == spec.PhaseFailed:
		return guestCode(0, &driver.Error{Op: "run workspace", Object: name, Err: run.Crash(name)})
	case run.Phase == spec.PhaseLost:
		return guestCode(0, &driver.Error{Class: driver.ErrGuest, Op: "run workspace", Object: name,
			Err: errors.New("its supervisor is gone and left no result"), Next: "microagent start " + name})
	case run.TimedOut:
		return &driver.Error{Class: driver.ErrTimeout, Op: "run workspace", Object: name}
	case run.ExitCode != nil:
		return guestCode(*run.ExitCode, nil)
	}
	return nil
}
