package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"microagent/runtime/driver"
)

func (a *app) execCommand() *cobra.Command {
	var o struct {
		spec        driver.ExecSpec
		env         []string
		interactive bool
		tty         bool
		detach      bool
		outputs     []string
	}
	var workspace string
	cmd := &cobra.Command{
		Use: "exec [flags] WORKSPACE [flags] [--] ARGV...", Short: "run a process in a running workspace",
		DisableFlagsInUseLine: true, Args: func(cmd *cobra.Command, args []string) (err error) {
			workspace, o.spec.Argv, err = execArgs(cmd, args)
			return err
		},
		Long: "Runs a further process and exits with its code. Its stdout and stderr are ours, and apart unless -t\n" +
			"asks for a terminal. It ends when that process ends: what it left running in the background goes on in the\n" +
			"guest, and what that writes later is not shown. The end of a task or service ends all of the guest.\n\n" +
			"With -d it is a job: its id is printed and we go away, its input is empty, and what it writes is kept, the newest\n" +
			"8 to 16 MiB of it. logs, wait and halt know it by --job, of which the beginning is enough, and list --jobs shows it\n" +
			"also after its end; it ends with the run at the latest. A workspace has up to 32 jobs at once and remembers the\n" +
			"last 64. What --output names is held with the workspace when the job ends; wait --job and output get --job bring\n" +
			"it out. The exit code is not the command's then, but 0 when the job was begun, and as of other commands when not.\n\n" +
			"With --if-run nothing is begun unless the workspace is in that run still, whose id start --json and status have;\n" +
			"the exit code is 5 otherwise.",
		Example: "  microagent exec scratch -- cat /etc/os-release\n  microagent exec -it scratch -- sh\n" +
			"  echo hello | microagent exec -i scratch -- cat\n  microagent exec -d --output report=/report.xml:./report.xml scratch -- make test",
		Annotations: exitsWith(ExitOK, ExitRefused, ExitGuest, ExitTimeout, ExitOurs, ExitInterrupted),
		RunE: does(func(ctx context.Context, _ []string) error {
			env, err := environment(o.env, os.LookupEnv)
			if err == nil {
				err = checkProcess(o.spec.User, o.spec.Workdir)
			}
			if err != nil {
				return usagef("microagent exec", "%w", err)
			}
			o.spec.Env = env
			if o.detach {
				if o.interactive || o.tty {
					return usagef("microagent exec", "-d begins a job, which nobody talks to: its input is empty, and -i and -t are for a process that is waited for")
				}
				return a.execDetached(ctx, workspace, o.spec, o.outputs)
			}
			if len(o.outputs) > 0 {
				return usagef("microagent exec", "--output is of a job, which -d begins; cp brings files out of a workspace")
			}
			w, ws, err := a.opened(ctx, false, "exec in workspace", workspace)
			if err != nil {
				return guestCode(0, err)
			}
			if err := ws.InRun(o.spec.IfRun); err != nil {
				return err
			}
			streams, done, err := a.Streams(ctx, o.interactive, o.tty)
			if err != nil {
				return guestCode(0, err)
			}
			code, err := w.Runs.Exec(ctx, ws.Spec.Name, o.spec, streams)
			done()
			if o.spec.IfRun != "" && errors.Is(err, driver.ErrRefused) {
				return err // nothing was run, so that the code can't be a guest's
			}
			return guestCode(code, err)
		}),
	}
	f := cmd.Flags()
	f.SetInterspersed(false)
	f.BoolVarP(&o.interactive, "interactive", "i", false, "pass our stdin on")
	f.BoolVarP(&o.tty, "tty", "t", false, "give the process a terminal")
	f.StringArrayVarP(&o.env, "env", "e", nil, "`NAME=VALUE`, or NAME to pass ours on")
	f.StringVarP(&o.spec.User, "user", "u", "", "user, uid, or either with :group")
	f.StringVarP(&o.spec.Workdir, "workdir", "w", "", "working directory")
	spanVar(f, &o.spec.Timeout, "timeout", "end the process after this long, with exit code 124")
	f.BoolVarP(&o.detach, "detach", "d", false, "begin it as a job: print its id, and let it go on without us")
	f.StringArrayVar(&o.outputs, "output", nil, "`name=/guest/path[:host/path]` to hold for us when the job ends; :unchanged=allow also what it did not change")
	idVar(f, &o.spec.IfRun, "if-run", "refuse (5) unless the workspace is in the run with this `ID`")
	return mapping(cmd)
}

// execArgs are the workspace and the command of an exec. Flags may stand behind the workspace as well: what begins with a
// hyphen there, before a "--" or the program, is ours.
func execArgs(cmd *cobra.Command, args []string) (workspace string, argv []string, err error) {
	if len(args) == 0 {
		return "", nil, errors.New("the workspace and the command to run in it are missing")
	}
	workspace, argv = args[0], args[1:]
	if len(argv) > 0 && strings.HasPrefix(argv[0], "-") {
		if err := cmd.Flags().Parse(argv); err != nil {
			return "", nil, err
		}
		argv = cmd.Flags().Args()
	}
	if help, err := cmd.Flags().GetBool("help"); err == nil && help {
		return "", nil, pflag.ErrHelp
	}
	if len(argv) == 0 {
		return "", nil, fmt.Errorf("what to run in %s is missing", workspace)
	}
	return workspace, argv, nil
}

// checkProcess refuses a user or working directory that no guest has; "" is the image's.
func checkProcess(user, workdir string) error {
	name, group, grouped := strings.Cut(user, ":")
	switch {
	case user != "" && (name == "" || grouped && group == "" || strings.Contains(group, ":")):
		return fmt.Errorf("--user is %q; write a user or user:group, by name or number, such as 1000:1000", user)
	case workdir != "" && !path.IsAbs(workdir):
		return fmt.Errorf("--workdir is %q; write an absolute path in the guest, such as /work", workdir)
	}
	return nil
}

// environment reads NAME=VALUE, or NAME for a variable of ours.
func environment(list []string, lookup func(string) (string, bool)) (map[string]string, error) {
	env := map[string]string{}
	for _, entry := range list {
		name, value, given := strings.Cut(entry, "=")
		if name == "" || strings.ContainsRune(entry, 0) { // its value may be a secret
			return nil, errors.New("an environment variable has no name, or a zero byte; write NAME=VALUE, or NAME to pass ours on")
		}
		if !given {
			if value, given = lookup(name); !given {
				continue
			}
		}
		env[name] = value
	}
	return env, nil
}

// commandOf is a command for a guest, which may be set apart by a "--".
func commandOf(args []string) []string {
	if len(args) > 0 && args[0] == "--" {
		return args[1:]
	}
	return args
}
