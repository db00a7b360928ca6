package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"microagent/runtime/driver"
	"microagent/schema/printable"
)

// deniedOf is a record of a denial with the workspace that it is of.
type deniedOf struct {
	Workspace string `json:"workspace"`
	driver.Denial
}

// denials are those of several workspaces, in the order of time.
func denials(ctx context.Context, w *world, names []string) ([]deniedOf, error) {
	var all []deniedOf
	for _, name := range names {
		list, err := w.Runs.Denials(ctx, name)
		if err != nil {
			return nil, err
		}
		for _, d := range list {
			all = append(all, deniedOf{name, d})
		}
	}
	slices.SortStableFunc(all, func(x, y deniedOf) int { return x.Time.Compare(y.Time) })
	return all, nil
}

// showDenials is logs --network.
func (a *app) showDenials(ctx context.Context, w *world, project string, names []string, o logsFlags) error {
	all, err := denials(ctx, w, names)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(d deniedOf) bool { return d.Time.Before(o.Since) })
	if o.Tail != nil {
		all = all[max(0, len(all)-*o.Tail):]
	}
	for _, d := range all {
		if a.JSON {
			if err := a.PrintLine(d); err != nil {
				return err
			}
			continue
		}
		name := d.Workspace
		if bare, ok := strings.CutPrefix(name, project+"."); ok && project != "" {
			name = bare
		}
		line := d.Time.UTC().Format(stamp) + " "
		if len(names) > 1 {
			line += name + ": "
		}
		if _, err := fmt.Fprintln(a.Out, line+printable.Line(d.Text())); err != nil {
			return err
		}
	}
	if len(all) == 0 && !a.JSON {
		a.Say("nothing was denied")
	}
	return nil
}

// networkNow is what a workspace that runs may reach, or would when it starts.
func networkNow(ws driver.Workspace) (driver.NetworkState, bool) {
	if ws.Run != nil && ws.Run.Phase.Alive() {
		state := cmp.Or(ws.Run.Network, &driver.NetworkState{})
		return *state, true
	}
	return driver.NetworkState{May: ws.Spec.Network}, false
}
