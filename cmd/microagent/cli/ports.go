package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"microagent/cmd/microagent/cli/view"
	"microagent/runtime/driver"
	"microagent/schema/spec"
)

func addPorts(f *pflag.FlagSet, to *[]string, about string) {
	f.StringArrayVarP(to, "publish", "p", nil, about)
}

// parsePorts reads the values of -p. The path of a socket is the user's own, and relative to where we are.
func parsePorts(flags []string) ([]spec.Port, error) {
	var list []spec.Port
	for _, text := range flags {
		p, err := spec.ParsePort(text)
		if err != nil {
			return nil, fmt.Errorf("-p: %w", err)
		}
		if p.Socket != "" {
			if p.Socket, err = filepath.Abs(p.Socket); err != nil {
				return nil, err
			}
		}
		list = append(list, p)
	}
	if err := spec.CheckPorts(list); err != nil {
		return nil, fmt.Errorf("-p: %w", err)
	}
	return list, nil
}

// portWords says where a port of a guest is, and whether a server is there.
func portWords(p spec.PortState) string {
	text := p.Where() + " -> " + p.Inside()
	if p.Name != "" {
		text = p.Name + " " + text
	}
	if p.Listening {
		text += " listening"
	}
	return text
}

// sayPorts tells where the ports of a run are: an automatic one is known from then on.
func (a *app) sayPorts(workspace string, run driver.Run) {
	for _, p := range run.Ports {
		a.Say("%s: %s", workspace, portWords(p))
	}
}

// portsOf are the published ports of a workspace that runs.
func portsOf(ws driver.Workspace) []spec.PortState {
	if ws.Run == nil || !ws.Run.Phase.Alive() {
		return nil
	}
	return ws.Run.Ports
}

func hasPorts(ws driver.Workspace) bool { return len(portsOf(ws)) > 0 }

// portList is a column of a table.
func portList(list []spec.PortState) string {
	var words []string
	for _, p := range list {
		words = append(words, p.Where()+"->"+p.Inside())
	}
	return strings.Join(words, " ")
}

func (a *app) forwardCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "forward WORKSPACE PORT...", Short: "reach ports of a running workspace",
		Long: "Publishes ports of a running workspace on the host's loopback until it is interrupted, or the run ends. PORT\n" +
			"is [ADDR:][HOST:]GUEST[/tcp|udp] or unix:PATH:GUEST, as for run -p; without HOST any that is free is taken, and\n" +
			"said. Any local user and any web page can reach such a port; a unix socket is its owner's alone.",
		Example:     "  microagent forward web 8080\n  microagent forward web 9090:8080 unix:./db.sock:5432",
		Annotations: exitsWith(ExitOK, ExitFailed, ExitRefused, ExitLocked, ExitUsage),
		RunE: does(func(ctx context.Context, args []string) error {
			list, err := parseForwards(args[1:])
			if err != nil {
				return usagef("microagent forward", "%w", err)
			}
			w, ws, err := a.opened(ctx, false, "forward to workspace", args[0])
			if err != nil {
				return err
			}
			return w.Runs.Forward(ctx, ws.Spec.Name, list, func(bound []spec.Port) error {
				return a.showForwards(ws.Spec.Name, bound)
			})
		}),
	}
	return cmd
}

// parseForwards reads ports as -p has them, and those of the guest alone.
func parseForwards(args []string) ([]spec.Port, error) {
	for i, text := range args {
		if !strings.Contains(text, ":") {
			if _, err := spec.ParseGuestPort(text); err != nil {
				return nil, err
			}
			args[i] = "auto:" + text
		}
	}
	list, err := parsePorts(args)
	if inner := errors.Unwrap(err); inner != nil {
		err = inner // which names no flag
	}
	return list, err
}

func (a *app) showForwards(workspace string, bound []spec.Port) error {
	var states []spec.PortState
	for _, p := range bound {
		states = append(states, spec.PortState{Port: p})
	}
	if a.JSON {
		return a.PrintJSON(map[string]any{"name": workspace, "ports": view.OfPorts(states)})
	}
	for _, s := range states {
		if _, err := fmt.Fprintln(a.Out, portWords(s)); err != nil {
			return err
		}
	}
	return nil
}
