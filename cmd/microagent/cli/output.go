package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"microagent/cmd/microagent/cli/view"

	"microagent/cmd/microagent/cli/term"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

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
	var how bringing
	cmd := &cobra.Command{
		Use: "get WORKSPACE OUTPUT [PATH]", Short: "bring an output to a path on the host",
		Long: "Writes the output to PATH (default ./OUTPUT): whole or not at all. What else is there is left alone\n" +
			"without --overwrite-outputs. While the workspace runs, it is what the guest has there now.\n" +
			"With - for PATH a single file goes to stdout.",
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
					how.limit = o.Limit
				}
			}
			tree, f, err := openOutput(ctx, w, ws.Spec.Name, args[1])
			if err != nil {
				return err
			}
			defer tree.Close()
			if path == "-" {
				return singleFile(tree, args[1], a.Out)
			}
			if path == "." || path == ".." || strings.HasSuffix(path, "/") {
				path = filepath.Join(path, args[1])
			}
			got, err := a.bringOut(ctx, w, tree, f, path, how)
			if err != nil {
				return err
			}
			got.Name, got.From = args[1], f.From
			return a.Done(view.OutputOf{Workspace: ws.Spec.Name, Collected: view.OfCollected(got)}, "%s: %s, %s", path, counting(got.Files, "file"), term.Size(got.Bytes))
		}),
	}
	cmd.Flags().BoolVar(&how.over, "overwrite-outputs", false, "let the output replace what is there on the host")
	allowGit(cmd.Flags(), &how.git)
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

// bringing says how outputs are written to the host.
type bringing struct {
	over  bool  // replace what else is there
	git   bool  // bring git folders
	limit int64 // bytes; 0 is the default
}

// allowGit is the flag of all commands that bring outputs out.
func allowGit(f *pflag.FlagSet, to *bool) {
	f.BoolVar(to, "allow-git", false, "let outputs bring .git and other git folders, whose configuration git runs")
}

// bringOut writes an output's tree to a path on the host, whole or not at all, and tells what was left out of it.
func (a *app) bringOut(ctx context.Context, w *world, tree io.Reader, f driver.Fetched, path string, how bringing) (driver.Fetched, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return f, err
	}
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return f, err
	}
	defer root.Close()
	target := driver.Target{Root: root, Path: filepath.Base(path)}
	there, err := w.Outputs.Digest(ctx, target)
	switch {
	case errors.Is(err, driver.ErrNotFound) || how.over:
	case err != nil:
		return f, err
	case there != f.Digest && there != f.WithGit:
		return f, taken(f.Name, path)
	}
	got, err := w.Outputs.Publish(ctx, tree, target, driver.Publishing{Limit: how.limit, Git: how.git})
	if err != nil {
		return got, fmt.Errorf("write output %s to %s: %w", f.Name, path, err)
	}
	f.LeftOut.Add(got.LeftOut)
	got.LeftOut, got.Unchanged, got.Older = f.LeftOut, f.Unchanged, f.Older
	for _, note := range got.Notes() {
		a.Say("output %s: %s", f.Name, printable.Line(note))
	}
	return got, nil
}

// taken says that something else has an output's place on the host.
func taken(output, path string) error {
	return &driver.Error{Class: driver.ErrRefused, Op: "write output", Object: output, Err: fmt.Errorf("%s is there already", path),
		Next: "move it away, name another path, or say --overwrite-outputs"}
}

// unwrittenError is the end of a command whose outputs could not be written to the host.
type unwrittenError struct{ error }

func (e *unwrittenError) Unwrap() error { return e.error }

var errNotSingle = errors.New("it is not a single file")

func outputError(name string, err error) error {
	return &driver.Error{Op: "read output", Object: name, Err: err, Next: "give a path in the place of -"}
}
