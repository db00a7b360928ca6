package cli

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"microagent/apply"
	"microagent/cmd/microagent/cli/term"
	"microagent/cmd/microagent/cli/view"
	"microagent/runtime/driver"
	"microagent/schema/printable"
)

func (a *app) outputCommand() *cobra.Command {
	return group("output", "what runs left", a.outputList(), a.outputGet())
}

func (a *app) outputList() *cobra.Command {
	return &cobra.Command{
		Use: "list [WORKSPACE]", Aliases: []string{"ls"}, Short: "list outputs that were fetched",
		Example:     "  microagent output list counter",
		Annotations: exitsWith(ExitOK, ExitFailed),
		RunE: does(func(ctx context.Context, args []string) error {
			w, err := a.open(false)
			if err != nil {
				return err
			}
			var list []driver.Workspace
			if len(args) == 1 {
				ws, err := a.workspace(ctx, w, "list outputs of workspace", args[0])
				if err != nil {
					return err
				}
				list = append(list, ws)
			} else if list, err = w.Workspaces.List(ctx); err != nil {
				return err
			}
			list = asked(a, list, func(ws driver.Workspace) string { return ws.Spec.Project })
			lines, rows := []view.OutputOf{}, [][]string{}
			for _, ws := range list {
				if ws.Run == nil {
					continue
				}
				for _, f := range ws.Run.Collected {
					lines = append(lines, view.OutputOf{Workspace: ws.Spec.Name, Collected: view.OfCollected(f)})
					rows = append(rows, []string{ws.Spec.Name, f.Name, strconv.Itoa(f.Files), strconv.FormatInt(f.Bytes, 10), printable.Line(f.Error)})
				}
			}
			if a.JSON {
				return a.PrintJSON(lines)
			}
			return a.Table([]string{"WORKSPACE", "OUTPUT", "FILES", "BYTES", "ERROR"}, rows)
		}),
	}
}

func (a *app) outputGet() *cobra.Command {
	var how apply.Writing
	var job string
	cmd := &cobra.Command{
		Use: "get WORKSPACE OUTPUT [PATH]", Short: "bring an output to a path on the host",
		Long: "Writes the output to PATH (default ./OUTPUT): whole or not at all. What else is there is left alone\n" +
			"without --overwrite-outputs. While the workspace runs, it is what the guest has there now.\n" +
			"With - for PATH a single file goes to stdout. With --job it is what that job left.",
		Example:     "  microagent output get counter count ./count",
		Annotations: exitsWith(ExitOK, ExitFailed, ExitRefused),
		RunE: does(func(ctx context.Context, args []string) error {
			w, ws, err := a.opened(ctx, false, "get output of workspace", args[0])
			if err != nil {
				return err
			}
			path := args[1]
			if len(args) == 3 {
				path = args[2]
			}
			for _, o := range ws.Spec.Outputs {
				if o.Name == args[1] {
					how.Limit = o.Limit
				}
			}
			open, took := func() (io.ReadCloser, driver.Fetched, error) { return openOutput(ctx, w, ws.Spec.Name, args[1]) }, func() error { return nil }
			if job != "" {
				open = func() (io.ReadCloser, driver.Fetched, error) {
					return w.Jobs.JobOutput(ctx, ws.Spec.Name, job, args[1])
				}
				took = func() error { return w.Jobs.TakeJob(ctx, ws.Spec.Name, job, args[1]) }
			}
			tree, f, err := open()
			if err != nil {
				return err
			}
			defer tree.Close()
			if path == "-" {
				if err := singleFile(tree, args[1], a.Out); err != nil {
					return err
				}
				return took()
			}
			if path == "." || path == ".." || strings.HasSuffix(path, "/") {
				path = filepath.Join(path, args[1])
			}
			f.Name = args[1]
			got, err := apply.Write(ctx, w.Outputs, tree, f, path, how)
			if err != nil {
				return err
			}
			if err := took(); err != nil {
				return err
			}
			a.sayNotes(got)
			return a.Done(view.OutputOf{Workspace: ws.Spec.Name, Collected: view.OfCollected(got)}, "%s: %s, %s", path, counting(got.Files, "file"), term.Size(got.Bytes))
		}),
	}
	a.jobFlag(cmd, &job, "an output of the job with this `ID`")
	cmd.Flags().BoolVar(&how.Over, "overwrite-outputs", false, "let the output replace what is there on the host")
	allowGit(cmd.Flags(), &how.Git)
	return cmd
}

// openOutput opens what a run has left; of a workspace that runs and has left nothing yet, what is in the guest now.
func openOutput(ctx context.Context, w *world, workspace, output string) (io.ReadCloser, driver.Fetched, error) {
	tree, f, err := w.Runs.OutputFile(ctx, workspace, output)
	if !errors.Is(err, driver.ErrNotFound) || f.Error != "" {
		return tree, f, err
	}
	live, now, liveErr := w.online.Output(ctx, workspace, output)
	if errors.Is(liveErr, driver.ErrRefused) { // it does not run
		return nil, f, err
	}
	return live, now, liveErr
}

// allowGit is the flag of all commands that bring outputs out.
func allowGit(f *pflag.FlagSet, to *bool) {
	f.BoolVar(to, "allow-git", false, "let outputs bring .git and other git folders, whose configuration git runs")
}

// sayNotes tells what is to be known of an output that was written.
func (a *app) sayNotes(f driver.Fetched) {
	for _, note := range f.Notes() {
		a.Say("output %s: %s", f.Name, printable.Line(note))
	}
}

var errNotSingle = errors.New("it is not a single file")

func outputError(name string, err error) error {
	return &driver.Error{Op: "read output", Object: name, Err: err, Next: "give a path in the place of -"}
}
