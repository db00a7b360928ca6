package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"microagent/cmd/microagent/cli/term"
	"microagent/runtime/driver"
)

func (a *app) logsCommand() *cobra.Command {
	var tailed func() bool
	var o struct {
		driver.LogOptions
		stdout, stderr, console bool
		tail                    int
	}
	cmd := &cobra.Command{
		Use: "logs WORKSPACE", Short: "show what a workspace's task or service wrote",
		Long: "The process's stdout goes to stdout and its stderr to stderr. --console shows the kernel's console\n" +
			"instead. In a pipe the bytes are raw; on a terminal control characters are shown as escapes.",
		Example:     "  microagent logs counter\n  microagent logs -f web\n  microagent logs --console --tail 20 web",
		Annotations: exitsWith(ExitOK, ExitFailed, ExitInterrupted),
		RunE: does(func(ctx context.Context, args []string) error {
			if tailed() {
				o.Tail = &o.tail
			}
			switch {
			case o.console:
				o.Stream = "console"
			case o.stderr:
				o.Stream = "stderr"
			case o.stdout:
				o.Stream = "stdout"
			}
			w, ws, err := a.opened(ctx, false, "show logs of workspace", args[0])
			if err != nil {
				return err
			}
			stdout, endOut := term.GuestText(a.Out)
			defer endOut()
			stderr, endErr := term.GuestText(a.Err)
			defer endErr()
			if a.JSON {
				lines := a.Lines()
				stdout, stderr = lines.Stream("stdout"), lines.Stream("stderr")
				if o.console {
					stdout = lines.Stream("console")
				}
				defer lines.Flush()
			}
			err = w.Runs.Logs(ctx, ws.Spec.Name, o.LogOptions, stdout, stderr)
			if o.Follow && errors.Is(err, context.Canceled) {
				return errInterrupted
			}
			return err
		}),
	}
	a.flags.shadow(cmd, "file")
	f := cmd.Flags()
	tailed = func() bool { return f.Changed("tail") }
	f.BoolVarP(&o.Follow, "follow", "f", false, "go on until the run ends")
	f.BoolVar(&o.stdout, "stdout", false, "stdout only")
	f.BoolVar(&o.stderr, "stderr", false, "stderr only")
	f.BoolVar(&o.console, "console", false, "the guest kernel's console")
	wholeVar(f, &o.tail, "tail", 0, 0, "only the last `N` lines, each one of its stream; 0 with -f is what comes from now on")
	cmd.MarkFlagsMutuallyExclusive("stdout", "stderr", "console")
	return cmd
}
