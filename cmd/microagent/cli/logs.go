package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"microagent/cmd/microagent/cli/term"
	"microagent/cmd/microagent/cli/view"
	"microagent/runtime/driver"
)

type logsFlags struct {
	driver.LogOptions
	stdout, stderr, console bool
	supervisor, vmm         bool
	tail                    int
	since                   string
	times                   bool
	network                 bool
}

func (a *app) logsCommand() *cobra.Command {
	var tailed func() bool
	var o logsFlags
	cmd := &cobra.Command{
		Use: "logs [WORKSPACE...]", Short: "show what tasks, services and jobs wrote",
		Long: "Of one workspace: its process's stdout goes to stdout and its stderr to stderr. Of several, or of none named,\n" +
			"which is all of the project (without a manifest in view all there are): one stream in the order of time, the name\n" +
			"before each line. -f goes on until the runs of the workspaces that are named have ended; without a name it goes on\n" +
			"until it is interrupted, through restarts and with workspaces that come later. --console shows the kernel's\n" +
			"console instead, --network what each guest asked of its network and was denied, and --job what a job in the one\n" +
			"workspace that is named wrote, with -f until that ends; --supervisor and --vmm-log are what the supervisor and the\n" +
			"VMM of the newest run say, to look at when a start fails. In a pipe the bytes are raw; on a terminal control\n" +
			"characters are shown as escapes.",
		Example: "  microagent logs counter\n  microagent logs -f\n  microagent logs -t --since 10m db web\n" +
			"  microagent logs --console --tail 20 web\n  microagent logs --network -f web",
		Annotations: exitsWith(ExitOK, ExitFailed, ExitUsage, ExitInterrupted),
		RunE: does(func(ctx context.Context, args []string) error {
			if tailed() {
				o.Tail = &o.tail
			}
			if err := o.settle(time.Now()); err != nil {
				return err
			}
			if o.Job != "" && len(args) != 1 {
				return usagef("microagent logs", "--job is of one workspace, which has to be named")
			}
			err := a.showLogs(ctx, o, args)
			if o.Follow && errors.Is(err, context.Canceled) {
				return errInterrupted
			}
			return err
		}),
	}
	a.flags.shadow(cmd, "file")
	f := cmd.Flags()
	tailed = func() bool { return f.Changed("tail") }
	f.BoolVarP(&o.Follow, "follow", "f", false, "go on with what is written from now on")
	f.BoolVar(&o.stdout, "stdout", false, "stdout only")
	f.BoolVar(&o.stderr, "stderr", false, "stderr only")
	f.BoolVar(&o.console, "console", false, "the guest kernel's console")
	f.BoolVar(&o.supervisor, "supervisor", false, "what the workspace's supervisor says of its newest run")
	f.BoolVar(&o.vmm, "vmm-log", false, "what the VMM says of it")
	wholeVar(f, &o.tail, "tail", 0, 0, "only the last `N` lines of each workspace, each one of its stream; 0 with -f is what comes from now on")
	f.StringVar(&o.since, "since", "", "only lines that began at or after `TIME`: how long ago, as 10m, or a date as 2026-01-02T15:04:05Z")
	f.BoolVarP(&o.times, "timestamps", "t", false, "show when each line began")
	f.BoolVar(&o.network, "network", false, "what the guest was denied by its network")
	a.jobFlag(cmd, &o.Job, "of the job with this `ID`, which exec -d began in the workspace")
	cmd.MarkFlagsMutuallyExclusive("stdout", "stderr", "console", "network", "supervisor", "vmm-log")
	cmd.MarkFlagsMutuallyExclusive("job", "console", "network", "supervisor", "vmm-log")
	return cmd
}

// settle brings the flags into the options.
func (o *logsFlags) settle(now time.Time) (err error) {
	switch {
	case o.console:
		o.Stream = "console"
	case o.supervisor:
		o.Stream = "supervisor"
	case o.vmm:
		o.Stream = "vmm"
	case o.stderr:
		o.Stream = "stderr"
	case o.stdout:
		o.Stream = "stdout"
	}
	switch {
	case !o.times && o.since == "":
	case o.console:
		return usagef("microagent logs", "--console has no times but the guest kernel's own: leave -t and --since out")
	case o.supervisor, o.vmm:
		return usagef("microagent logs", "--supervisor and --vmm-log have no times but their own: leave -t and --since out")
	}
	if o.since != "" {
		o.Since, err = sinceWhen(o.since, now)
	}
	return err
}

// sinceWhen is the time that a span before now or a date means.
func sinceWhen(text string, now time.Time) (time.Time, error) {
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, usagef("microagent logs", "--since is %q; it can be how long ago, as 90s or 10m, or a date as 2026-01-02T15:04:05Z", text)
	}
	return at, nil
}

// showLogs shows the logs of the workspaces that are named, or of all in view.
func (a *app) showLogs(ctx context.Context, o logsFlags, args []string) error {
	w, err := a.open(false)
	if err != nil {
		return err
	}
	project := a.projectInView()
	inView := func(ws driver.Workspace) bool { return project == "" || ws.Spec.Project == project }
	var names []string
	var broken error
	if len(args) == 0 {
		var all []driver.Workspace
		all, broken = w.Workspaces.List(ctx)
		for _, ws := range all {
			if inView(ws) {
				names = append(names, ws.Spec.Name)
			}
		}
		if len(names) == 0 && !o.Follow && broken == nil {
			a.Say("there is no workspace here yet")
		}
	}
	for _, arg := range args {
		ws, err := a.workspace(ctx, w, "show logs of workspace", arg)
		if err != nil {
			return err
		}
		if !slices.Contains(names, ws.Spec.Name) {
			names = append(names, ws.Spec.Name)
		}
	}
	later := inView
	if len(args) > 0 {
		later = nil
	}
	if o.network {
		if !o.Follow {
			later = nil
		}
		return errors.Join(a.showDenials(ctx, w, project, names, later, o), broken)
	}
	if len(args) == 1 && !o.times && !a.JSON {
		stdout, endOut := term.GuestText(a.Out)
		defer endOut()
		stderr, endErr := term.GuestText(a.Err)
		defer endErr()
		return w.Runs.Logs(ctx, names[0], o.LogOptions, stdout, stderr)
	}
	v := a.newLogView(o, project, names, len(args) == 1)
	err = w.Runs.AllLogs(ctx, names, later, o.LogOptions, v.take)
	return errors.Join(err, v.lines.Flush(""), broken)
}

// stamp is how times of lines are shown: as RFC 3339 has them, all of one length.
const stamp = "2006-01-02T15:04:05.000Z07:00"

// logMark is a record of something that is no line: a run began or ended while it was followed.
type logMark struct {
	Workspace string    `json:"workspace"`
	Time      time.Time `json:"time"`
	Event     string    `json:"event"` // "began" or "ended"
	Run       string    `json:"run"`
	ExitCode  *int      `json:"exit_code,omitempty"`
	Why       string    `json:"why,omitempty"` // of a run that began by itself: how the one before it ended
}

func markOf(p driver.Written) logMark {
	m := logMark{Workspace: p.Workspace, Time: p.Time, Event: "ended", Run: p.Run.ID, ExitCode: p.Run.ExitCode}
	if p.Run.Phase.Alive() {
		m.Event = "began"
		if p.Run.Restarts != nil {
			m.Why = p.Run.Restarts.Why
		}
	}
	return m
}

func (m logMark) text(run driver.Run) string {
	switch {
	case m.Event == "began" && m.Why != "":
		return "it starts again: " + m.Why
	case m.Event == "began":
		return "a run began"
	}
	return fmt.Sprintf("the run ended: %s", view.State(driver.Workspace{Run: &run}))
}
