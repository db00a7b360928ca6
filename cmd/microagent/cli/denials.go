package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"microagent/runtime/driver"
	"microagent/schema/printable"
)

// deniedOf is a record of a denial with the workspace that it is of.
type deniedOf struct {
	Workspace string `json:"workspace"`
	driver.Denial
}

// showDenials is logs --network: of the workspaces that are named, and with -f of those that come later.
func (a *app) showDenials(ctx context.Context, w *world, project string, names []string, later func(driver.Workspace) bool, o logsFlags) error {
	o.Stream = "network"
	some := false
	err := w.Runs.AllLogs(ctx, names, later, o.LogOptions, func(p driver.Written) error {
		var d driver.Denial
		if len(p.Data) == 0 || json.Unmarshal(p.Data, &d) != nil { // a run began or ended
			return nil
		}
		some = true
		if a.JSON {
			return a.PrintLine(deniedOf{p.Workspace, d})
		}
		name := p.Workspace
		if bare, ok := strings.CutPrefix(name, project+"."); ok && project != "" {
			name = bare
		}
		line := d.Time.UTC().Format(stamp) + " "
		if len(names) != 1 || later != nil {
			line += name + ": "
		}
		_, err := fmt.Fprintln(a.Out, line+printable.Line(d.Text()))
		return err
	})
	if err == nil && !some && !a.JSON {
		a.Say("nothing was denied")
	}
	return err
}

// networkNow is what a workspace that runs may reach, or would when it starts.
func networkNow(ws driver.Workspace) (driver.NetworkState, bool) {
	if ws.Run != nil && ws.Run.Phase.Alive() {
		state := cmp.Or(ws.Run.Network, &driver.NetworkState{})
		return *state, true
	}
	return driver.NetworkState{May: ws.Spec.Network}, false
}
