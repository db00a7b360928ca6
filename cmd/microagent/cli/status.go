package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"microagent/cmd/microagent/cli/term"
	"microagent/cmd/microagent/cli/view"
	"microagent/runtime/driver"
	"microagent/schema/printable"
	"microagent/schema/spec"
)

func (a *app) statusCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "status [WORKSPACE]", Short: "show a project, or a workspace",
		Long: "With a manifest in view: the project's workspaces and volumes. Otherwise, or with --all, everything in\n" +
			"the state directory. With a name: that workspace and its newest run.",
		Example:     "  microagent status\n  microagent status counter\n  microagent status --all --json",
		Annotations: exitsWith(ExitOK, ExitFailed),
		RunE: does(func(ctx context.Context, args []string) error {
			if len(args) == 1 {
				w, ws, err := a.opened(ctx, false, "show workspace", args[0])
				if err != nil {
					return err
				}
				one := []driver.Workspace{ws}
				askGuests(ctx, w, one)
				ws = one[0]
				kept, err := w.Workspaces.Kept(ctx)
				if err != nil {
					return err
				}
				shown := withKept([]view.Workspace{view.OfWorkspace(ws)}, kept)[0]
				if a.JSON {
					return a.PrintJSON(shown)
				}
				if shown.Kept != nil {
					a.sayKept(*shown.Kept, runs(ws))
				}
				if err := a.showWorkspace(ws); err != nil || newLoss(ws) == nil {
					return err
				}
				_ = w.Runs.NoteLossShown(ctx, ws.Spec.Name, ws.Loss.Run) // a state directory may be only to be read
				return nil
			}
			project := ""
			if !all {
				project = a.projectInView()
			}
			return a.showObjects(ctx, project)
		}),
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "everything, whatever project it belongs to")
	return cmd
}

func (a *app) showObjects(ctx context.Context, project string) error {
	w, err := a.open(false)
	if err != nil {
		return err
	}
	workspaces, brokenWorkspaces := w.Workspaces.List(ctx)
	workspaces = slices.DeleteFunc(workspaces, func(ws driver.Workspace) bool { return project != "" && ws.Spec.Project != project })
	askGuests(ctx, w, workspaces)
	volumes, brokenVolumes := w.Volumes.List(ctx)
	kept, err := a.keptOf(ctx, w, project, nil, workspaces)
	if err != nil {
		return err
	}
	broken := errors.Join(brokenWorkspaces, brokenVolumes)
	mine := view.Project{Project: project, Workspaces: withKept(view.OfWorkspaces(workspaces), kept), Volumes: []view.Volume{}, Kept: view.OfKepts(kept)}
	var rows [][]string
	for _, ws := range workspaces {
		a.sayDrift(ws)
		a.sayLoss(ctx, w, ws)
		if ws.Run != nil && ws.Run.Phase.Alive() {
			for _, f := range ws.Run.DiskFaults {
				a.Say("workspace %s: %s", ws.Spec.Name, faultWords(ws.Spec.Name, f))
			}
		}
		detail := vmmOf(ws)
		if ws.Run.BacksOff() {
			detail = restartWords(*ws.Run.Restarts)
		}
		if hasPorts(ws) {
			detail += "; " + portList(portsOf(ws))
		}
		rows = append(rows, []string{"workspace/" + ws.Spec.Name, view.State(ws), detail})
	}
	for _, v := range volumes {
		if project != "" && v.Project != project {
			continue
		}
		mine.Volumes = append(mine.Volumes, view.OfVolume(v))
		state := "free"
		if v.Attached {
			state = "attached:" + holderName(v)
		}
		if fault := faultOf(v); fault != "" {
			state = "drifted"
			a.Say("volume %s has drifted: %s", v.Name, fault)
		}
		rows = append(rows, []string{"volume/" + v.Name, state, strings.ReplaceAll(mib(v.Size), " ", "")})
	}
	switch {
	case a.JSON:
		return errors.Join(a.PrintJSON(mine), broken)
	case len(rows) == 0 && broken == nil:
		return a.Done(nil, "nothing here yet")
	}
	return errors.Join(a.Table([]string{"OBJECT", "STATE", "DETAIL"}, rows), broken)
}

const noRootFS = "its root file system is gone"

func (a *app) sayDrift(ws driver.Workspace) {
	if ws.RootFSMissing {
		a.Say("workspace %s has drifted: %s", ws.Spec.Name, noRootFS)
	}
}

func vmmOf(ws driver.Workspace) string {
	if ws.Run == nil {
		return ""
	}
	text := ws.Run.VMM
	if !ws.Run.Hardware {
		text += ", not isolated by hardware"
	}
	if s := ws.Run.Sandbox; s != nil {
		for _, l := range s.Lacks() {
			text += ", " + l.Short
		}
	}
	return text
}

// faultWords tells of an error of the host's at a disk of a workspace's guest, and what helps.
func faultWords(workspace string, f driver.DiskFault) string {
	text := fmt.Sprintf("%s: the guest met an I/O error, last seen at %s: %s", printable.Line(f.Disk), f.Last.UTC().Format(time.RFC3339), printable.Line(f.Reason))
	if f.NoSpace {
		text = fmt.Sprintf("%s: the host has no room for what the guest writes, last seen at %s: %s; free some space, as microagent prune does, and where the guest's file system has become read-only: microagent restart %s",
			printable.Line(f.Disk), f.Last.UTC().Format(time.RFC3339), printable.Line(f.Reason), workspace)
	}
	return text
}

// restartWords tells of the restarts of a workspace since a command started it.
func restartWords(r driver.Restarts) string {
	text := fmt.Sprintf("%d, since %s", r.Count, printable.Line(r.Why))
	if r.Next != nil {
		text += "; the next try is at " + r.Next.UTC().Format(time.RFC3339)
	}
	return text
}

// bootWords tells how a guest came to be.
func bootWords(b driver.Boot) string {
	if b.Template != "" {
		return "none: a copy of template " + printable.Line(b.Template)
	}
	text := printable.Line(b.Why)
	if b.Saved {
		text += "; saved as a template for the next start"
	}
	return text
}

// readyWords is what a probe says, or said of a run that has ended, in words.
func readyWords(r driver.Readiness, ended bool) string {
	what := map[driver.ReadyState]string{
		driver.ReadyWaiting: "waiting", driver.ReadyYes: "yes", driver.ReadyNever: "never came", driver.ReadyLost: "no more",
	}[r.State]
	switch {
	case ended && r.State == driver.ReadyYes:
		what = "until the run ended"
	case ended && r.State == driver.ReadyWaiting:
		what = "not before the run ended"
	}
	text := fmt.Sprintf("%s, since %s: %s", what, r.Since.UTC().Format(time.RFC3339), printable.Line(r.Probe))
	if r.Words != "" {
		text += ": " + printable.Line(r.Words)
	}
	return text
}

// vmNow is what the VMM says of the VM of a workspace that runs, nil when nobody knows.
func vmNow(ws driver.Workspace) *spec.VM {
	if ws.Run == nil || !ws.Run.Phase.Alive() || ws.Run.Live == nil {
		return nil
	}
	return ws.Run.Live.VM
}

func cpusOf(ws driver.Workspace) string {
	text := fmt.Sprint(ws.Spec.CPUs)
	if most := ws.Spec.MaxCPUs; most > ws.Spec.CPUs {
		text += fmt.Sprintf(", up to %d", most)
	}
	if vm := vmNow(ws); vm != nil && vm.CPUs != ws.Spec.CPUs {
		text += fmt.Sprintf("; its VM has %d", vm.CPUs)
	}
	return text
}

func memoryOf(ws driver.Workspace) string {
	text := term.Size(ws.Spec.Memory)
	if most := ws.Spec.MaxMemory; most > ws.Spec.Memory {
		text += ", up to " + term.Size(most)
	}
	if vm := vmNow(ws); vm != nil && vm.Memory != ws.Spec.Memory {
		text += "; its VM has " + term.Size(vm.Memory)
	}
	return text
}

func (a *app) showWorkspace(ws driver.Workspace) error {
	lines := [][2]string{
		{"Name", ws.Spec.Name}, {"Project", orDash(ws.Spec.Project)}, {"State", view.State(ws)}, {"Image", ws.Spec.Image},
		{"Digest", ws.Spec.ImageDigest}, {"CPUs", cpusOf(ws)}, {"Memory", memoryOf(ws)},
		{"Disk", term.Size(ws.Spec.DiskSize)}, {"Created", ws.Created.UTC().Format(time.RFC3339)},
	}
	for _, m := range ws.Spec.Mounts {
		mode := "rw"
		if m.ReadOnly {
			mode = "ro"
		}
		lines = append(lines, [2]string{"Mount", fmt.Sprintf("%s %s %s %s", m.Path, m.Kind, m.Name, mode)})
	}
	for _, p := range portsOf(ws) {
		lines = append(lines, [2]string{"Port", portWords(p)})
	}
	for _, p := range ws.Spec.Ports {
		if !p.Published() || !hasPorts(ws) {
			lines = append(lines, [2]string{"Port", strings.TrimSpace(p.Name + " " + p.String())})
		}
	}
	lines = append(lines, networkLines(ws.Spec.Network)...)
	lines = append(lines, networkCounts(ws)...)
	if ws.Again {
		lines = append(lines, [2]string{"Reset", "was cut short; to finish it: microagent reset " + ws.Spec.Name + " --yes"})
	}
	if ws.RootFSMissing {
		lines = append(lines, [2]string{"Drifted", noRootFS})
	}
	if ws.Silent {
		lines = append(lines, [2]string{"Guest", a.reaching("does not answer; to end it: microagent halt --force " + ws.Spec.Name)})
	}
	if ws.Spec.Ready != nil && (ws.Run == nil || ws.Run.Readiness == nil) {
		lines = append(lines, [2]string{"Ready", "when " + printable.Line(ws.Spec.Ready.Probe())})
	}
	if r := ws.Run; r != nil {
		if r.Readiness != nil {
			lines = append(lines, [2]string{"Ready", readyWords(*r.Readiness, !r.Phase.Alive())})
		}
		if r.Restarts != nil {
			lines = append(lines, [2]string{"Restarts", restartWords(*r.Restarts)})
		}
		if r.Waits != "" && r.Phase.Alive() && !r.BacksOff() {
			lines = append(lines, [2]string{"Waits", printable.Line(r.Waits)})
		}
		lines = append(lines, [2]string{"Run", r.ID}, [2]string{"VMM", vmmOf(ws)}, [2]string{"Started", r.Started.UTC().Format(time.RFC3339)})
		if r.Boot != nil {
			lines = append(lines, [2]string{"Boot", bootWords(*r.Boot)})
		}
		if r.Sandbox != nil {
			for _, l := range r.Sandbox.Lacks() {
				lines = append(lines, [2]string{"Sandbox", l.Message + "; " + l.Next})
			}
		}
		if r.Ended != nil {
			lines = append(lines, [2]string{"Ended", r.Ended.UTC().Format(time.RFC3339)})
		}
		if r.ExitCode != nil {
			lines = append(lines, [2]string{"Exit", fmt.Sprint(*r.ExitCode)})
		}
		if why := driver.OutOfMemory(printable.Line(r.OutOfMemory), ws.Spec.Memory); why != "" {
			lines = append(lines, [2]string{"Killed", why})
		}
		if r.Error != "" {
			lines = append(lines, [2]string{"Error", printable.Line(r.Error)})
		}
		for _, f := range r.DiskFaults {
			lines = append(lines, [2]string{"Fault", faultWords(ws.Spec.Name, f)})
		}
		for _, f := range r.Collected {
			lines = append(lines, [2]string{"Output", fmt.Sprintf("%s %s%s", f.Name, term.Size(f.Bytes), map[bool]string{true: " " + printable.Line(f.Error)}[f.Error != ""])})
		}
		for _, line := range r.Console {
			lines = append(lines, [2]string{"Console", printable.Line(line)})
		}
	}
	if l := newLoss(ws); l != nil {
		for _, line := range lossLines(*l, ws.Run) {
			lines = append(lines, [2]string{"Lost", line})
		}
	}
	for _, l := range lines {
		fmt.Fprintf(a.Out, "%s: %s\n", l[0], l[1])
	}
	return nil
}
