package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"microagent/apply/folder"
	"microagent/apply/refresh"
	"microagent/plan"
	"microagent/runtime/driver"
)

func (a *app) destroyCommand() *cobra.Command {
	var o applyFlags
	var moveHere bool
	var loss lossFlag
	cmd := &cobra.Command{
		Use: "destroy", Short: "remove what applies created, but volumes",
		Long: "Stops and deletes the project's workspaces. Their root file systems are kept until prune, and restore brings one\n" +
			"back. Its volumes stay with their data; the plan says how each is deleted by name. What can't be deleted is told,\n" +
			"and the rest is. With --project NAME no manifest is needed.",
		Example:     "  microagent destroy\n  microagent destroy --yes\n  microagent destroy --project counter",
		Annotations: exitsWith(ExitOK, ExitFailed, ExitPartly, ExitInvalid, ExitRefused, ExitLocked, ExitInterrupted),
		RunE: does(func(ctx context.Context, _ []string) error {
			return a.runStreamed(ctx, "destroy", func(ctx context.Context, s *stream) error {
				return a.retryStale(func() error { return a.destroyProject(ctx, s, moveHere, loss, o) })
			})
		}),
	}
	o.add(cmd)
	loss.add(cmd.Flags(), "workspace/NAME")
	cmd.Flags().BoolVar(&moveHere, "move-here", false, "also when the project was applied from another manifest")
	return cmd
}

// destroyProject makes a plan of deletions, asks, and executes it.
func (a *app) destroyProject(ctx context.Context, s *stream, moveHere bool, loss lossFlag, o applyFlags) error {
	if err := loss.check(a.command.CommandPath(), "workspace"); err != nil {
		return err
	}
	project, path, err := a.destroyed(ctx)
	if err != nil {
		return err
	}
	w, err := a.open(false)
	if err != nil {
		return err
	}
	seen, err := refresh.Project(ctx, w.Set, project, refresh.Options{Manifest: path, Normal: normalReference})
	if err != nil {
		return err
	}
	p, _ := plan.Destroy(project, seen, plan.Options{Tool: Version, ManifestPath: path, MoveHere: moveHere, AllowDataLoss: loss})
	if err := a.refuse(s, p, o.yes); err != nil {
		return err
	}
	if p.Empty() && seen.Project.Manifest == "" {
		return s.reportNothing(p)
	}
	if !o.yes || !a.JSON {
		if err := a.ask(p); err != nil {
			return err
		}
	}
	if !o.yes {
		if err := a.Confirm(ctx, "destroy project", project, "Do it?", a.commandAgain()); err != nil {
			return err
		}
	}
	files, err := folder.Open(filepath.Dir(path), nil)
	if err != nil {
		return err
	}
	defer files.Close()
	if w, err = a.open(true); err != nil {
		return err
	}
	return a.execute(ctx, s, w, p, files, o)
}

// destroyed is the project to destroy, and the manifest that stands for it: the one in view, or with --project and none
// in view the one that its record names.
func (a *app) destroyed(ctx context.Context) (project, manifest string, err error) {
	if a.flags.project == "" || a.manifestInView() != "" {
		m, s, err := a.load(nil)
		if err != nil {
			return "", "", err
		}
		return m.Project, s.path, nil
	}
	w, err := a.open(false)
	if err != nil {
		return "", "", err
	}
	record, err := w.Projects.Get(ctx, a.flags.project)
	if errors.Is(err, driver.ErrNotFound) {
		return "", "", &driver.Error{Class: driver.ErrNotFound, Op: "destroy project", Object: a.flags.project,
			Err: errors.New("nothing was ever applied under that name"), Next: "microagent status --all"}
	}
	if err != nil {
		return "", "", err
	}
	if _, err := os.Stat(filepath.Dir(record.Manifest)); err != nil {
		dir, err := os.Getwd()
		return record.Name, filepath.Join(dir, ManifestName), err
	}
	return record.Name, record.Manifest, nil
}
