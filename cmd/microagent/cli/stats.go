package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"microagent/cmd/microagent/cli/term"
	"microagent/cmd/microagent/cli/view"
	"microagent/runtime/driver"
)

type statsFlags struct {
	watch, once bool
	interval    time.Duration
}

func (a *app) statsCommand() *cobra.Command {
	var o statsFlags
	cmd := &cobra.Command{
		Use: "stats [WORKSPACE...]", Aliases: []string{"top"}, Short: "show what running workspaces use",
		Long: "Of the workspaces that are named, or of all in view that run. CPU%, MEM (private memory of the supervisor, the VMM\n" +
			"and what it started), DISK (what images take), READ and WRITTEN are the host's own figures. Those that begin with\n" +
			"GUEST are what the guest says of itself: a guest may say anything. On a terminal it goes on; elsewhere, and with\n" +
			"--no-stream, it looks twice and shows the difference once. With --json --watch each look is a record for each workspace.",
		Example:     "  microagent stats\n  microagent stats --no-stream db web\n  microagent stats --json --watch --interval 10s",
		Annotations: exitsWith(ExitOK, ExitFailed, ExitRefused, ExitInterrupted),
		RunE: does(func(ctx context.Context, args []string) error {
			if o.interval == 0 {
				o.interval = time.Second
			}
			err := a.watchStats(ctx, o, args)
			if errors.Is(err, context.Canceled) {
				return errInterrupted
			}
			return err
		}),
	}
	f := cmd.Flags()
	f.BoolVar(&o.once, "no-stream", false, "show it once, also on a terminal")
	f.BoolVar(&o.watch, "watch", false, "go on, also where stdout is no terminal")
	spanVar(f, &o.interval, "interval", "how long after a look comes the next (default 1s)")
	cmd.MarkFlagsMutuallyExclusive("no-stream", "watch")
	return cmd
}

// watchStats looks again and again.
func (a *app) watchStats(ctx context.Context, o statsFlags, args []string) error {
	w, err := a.open(false)
	if err != nil {
		return err
	}
	screen := term.IsTerminal(a.Out) && !a.JSON && !o.once
	before, err := a.lookAtUse(ctx, w, args)
	if err != nil {
		return err
	}
	tick := time.NewTicker(o.interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		now, err := a.lookAtUse(ctx, w, args)
		if err != nil {
			return err
		}
		if screen && a.Getenv("TERM") != "dumb" {
			if _, err := io.WriteString(a.Out, "\x1b[H\x1b[2J"); err != nil {
				return err
			}
		}
		var list []view.Usage
		for _, u := range now {
			list = append(list, view.OfUsage(usageOf(before, u.Workspace), u))
		}
		if err := a.showUse(list, o.watch); err != nil || !o.watch && !screen {
			return err
		}
		before = now
	}
}

func usageOf(list []driver.Usage, workspace string) *driver.Usage {
	for i := range list {
		if list[i].Workspace == workspace {
			return &list[i]
		}
	}
	return nil
}

// lookAtUse measures the workspaces that are named, which must run, or those in view that do.
func (a *app) lookAtUse(ctx context.Context, w *world, args []string) ([]driver.Usage, error) {
	const op = "measure workspace"
	var names []string
	for _, arg := range args {
		ws, err := a.workspace(ctx, w, op, arg)
		if err != nil {
			return nil, err
		}
		if ws.Run == nil || !ws.Run.Phase.Alive() {
			return nil, &driver.Error{Class: driver.ErrRefused, Op: op, Object: ws.Spec.Name, Err: errors.New("it does not run"),
				Next: "microagent start " + ws.Spec.Name}
		}
		names = append(names, ws.Spec.Name)
	}
	var broken error
	if len(args) == 0 {
		var all []driver.Workspace
		all, broken = w.Workspaces.List(ctx)
		project := a.projectInView()
		for _, ws := range all {
			if project == "" || ws.Spec.Project == project {
				names = append(names, ws.Spec.Name)
			}
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	asking, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	list, err := w.Runs.Usage(asking, names)
	return list, errors.Join(err, broken)
}

// showUse shows one look: a table, or JSON.
func (a *app) showUse(list []view.Usage, stream bool) error {
	switch {
	case a.JSON && stream:
		for _, u := range list {
			if err := a.PrintLine(u); err != nil {
				return err
			}
		}
		return nil
	case a.JSON:
		return a.PrintJSON(nonNil(list))
	}
	rows := [][]string{}
	for _, u := range list {
		rows = append(rows, useRow(u))
	}
	return a.Table([]string{"NAME", "CPU%", "MEM", "DISK", "READ", "WRITTEN", "GUEST-CPU%", "GUEST-MEM", "GUEST-LOAD", "GUEST-DISKS"}, rows)
}

// useRow is a line of the table. No cell has a blank in it, so that awk finds its columns.
func useRow(u view.Usage) []string {
	memory := resident(u.Host.Supervisor) + resident(u.Host.VMM)
	var images int64
	for _, d := range u.Host.Disks {
		images += d.Allocated
	}
	row := []string{u.Workspace, percentText(u.Host.CPUPercent), sizeText(memory), sizeText(images), sizeText(u.Host.VMM.Read), sizeText(u.Host.VMM.Written)}
	g := u.Guest
	if g == nil {
		return append(row, "-", "-", "-", "-")
	}
	var disks []string
	for _, d := range g.Disks {
		full := "-"
		if d.Size > 0 {
			full = fmt.Sprintf("%.0f%%", 100*float64(d.Used)/float64(d.Size))
		}
		disks = append(disks, strings.ReplaceAll(d.Path, " ", `\x20`)+":"+full)
	}
	return append(row, percentText(g.CPUPercent), sizeText(g.Used)+"/"+sizeText(g.Memory), fmt.Sprintf("%.2f", g.Load[0]), strings.Join(disks, ","))
}

// resident is what of processes' memory is theirs alone, or all that the kernel tells.
func resident(p view.ProcessUse) int64 {
	if p.Private > 0 {
		return p.Private
	}
	return p.RSS
}

func percentText(p *float64) string {
	if p == nil {
		return ""
	}
	return fmt.Sprintf("%.1f", *p)
}

func sizeText(n int64) string { return strings.ReplaceAll(term.Size(n), " ", "") }
