package cli

import (
	"context"
	"slices"
	"time"

	"microagent/cmd/microagent/cli/term"
	"microagent/cmd/microagent/cli/view"
	"microagent/runtime/driver"
)

// keptOf lists the root file systems that are kept, of one project and of some names when these are given, and tells of
// them; there are the workspaces.
func (a *app) keptOf(ctx context.Context, w *world, project string, names []string, there []driver.Workspace) ([]driver.Kept, error) {
	list, err := w.Workspaces.Kept(ctx)
	if err != nil {
		return nil, err
	}
	list = a.keptNamed(list, project, names)
	for _, k := range list {
		a.sayKept(view.OfKept(k), slices.ContainsFunc(there, func(ws driver.Workspace) bool { return ws.Spec.Name == k.Workspace && runs(ws) }))
	}
	return list, nil
}

func (a *app) sayKept(k view.Kept, runs bool) {
	what := "that workspace " + k.Workspace + " had before is kept"
	if k.Deleted {
		what = "of workspace " + k.Workspace + " is kept although that was deleted"
	}
	a.Say("the root file system %s, and takes %s; to bring it back: %s", what, term.Size(k.Bytes), restoring(k.Workspace, runs))
}

// restoring is the command that brings back what is kept of a workspace.
func restoring(name string, runs bool) string {
	if runs {
		return "microagent halt " + name + " && microagent restore " + name
	}
	return "microagent restore " + name
}

func runs(ws driver.Workspace) bool { return ws.Run != nil && ws.Run.Phase.Alive() }

// keptNamed leaves those of a project and of some names, where these are given.
func (a *app) keptNamed(list []driver.Kept, project string, names []string) []driver.Kept {
	return slices.DeleteFunc(list, func(k driver.Kept) bool {
		named := len(names) == 0 || slices.ContainsFunc(names, func(name string) bool { return slices.Contains(a.candidates(name), k.Workspace) })
		return !named || project != "" && k.Project != project
	})
}

// withKept adds to workspaces what is kept of them.
func withKept(list []view.Workspace, kept []driver.Kept) []view.Workspace {
	for i := range list {
		for _, k := range kept {
			if k.Workspace == list[i].Spec.Name && !k.Deleted {
				list[i].Kept = new(view.OfKept(k))
			}
		}
	}
	return list
}

// listKept is list --kept.
func (a *app) listKept(ctx context.Context, w *world, names []string) error {
	list, err := w.Workspaces.Kept(ctx)
	if err != nil {
		return err
	}
	list = a.keptNamed(list, a.flags.project, names)
	if a.JSON {
		return a.PrintJSON(view.OfKepts(list))
	}
	var rows [][]string
	for _, k := range list {
		state, image := "replaced", k.Image
		if k.Deleted {
			state = "deleted"
		}
		if !k.Known {
			image = "unknown"
		}
		rows = append(rows, []string{k.Workspace, state, image, term.Size(k.Bytes), k.Since.Local().Format(time.DateTime)})
	}
	return a.Table([]string{"NAME", "STATE", "IMAGE", "SIZE", "SINCE"}, rows)
}
