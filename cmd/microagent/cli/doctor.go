package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"microagent/cmd/microagent/cli/term"
	"microagent/cmd/microagent/cli/view"
	"microagent/runtime/driver"
	"microagent/schema/printable"
	"microagent/schema/spec"
)

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "say what is missing on this host",
		Long: "Looks at the VMMs, KVM, the guest kernel, memory and disk, and says for each what was found and what\n" +
			"mends it. It starts nothing but a VMM with --version.",
		Example:     "  microagent doctor\n  microagent doctor --json",
		Annotations: exitsWith(ExitOK, ExitFailed),
		RunE: does(func(ctx context.Context, _ []string) error {
			w, err := a.open(false)
			if err != nil {
				return err
			}
			findings := append(w.doctor.Diagnose(ctx), diagnoseStarts(ctx, w)...)
			host, err := w.Hosts.Observe(ctx, true)
			if err != nil {
				return err
			}
			if a.JSON {
				err = a.PrintJSON(view.Host{VMM: host.VMM, Hardware: host.Hardware, Why: host.Why, Kernel: host.Kernel,
					StateDir: w.state.Dir, Findings: view.OfFindings(findings)})
			} else {
				a.showFindings(w, host, findings)
			}
			if err != nil {
				return err
			}
			for _, f := range findings {
				if f.Severity == "error" {
					return &printedError{exits(ExitFailed, fmt.Errorf("%s", f.Message))}
				}
			}
			return nil
		}),
	}
}

// diagnoseStarts says which starts need no boot, and which runs had one since no template was of use to them.
func diagnoseStarts(ctx context.Context, w *world) []driver.Finding {
	var list []driver.Finding
	if _, kept, err := w.templates(true); err == nil && len(kept) > 0 {
		var bytes int64
		for _, t := range kept {
			bytes += t.Bytes
		}
		list = append(list, driver.Finding{Code: "templates", Severity: "ok",
			Message: fmt.Sprintf("guests of %s start without a boot; their templates take %s", counting(len(kept), "shape"), term.Size(bytes))})
	}
	all, _ := w.Workspaces.List(ctx) // what is wrong with one, commands that need it say
	for _, ws := range all {
		if r := ws.Run; r != nil && r.Boot != nil && r.Boot.Refused {
			list = append(list, driver.Finding{Code: "template_refused", Severity: "note",
				Message: fmt.Sprintf("the guest of workspace %s booted: %s", ws.Spec.Name, printable.Line(r.Boot.Why))})
		}
	}
	return list
}

func (a *app) showFindings(w *world, host spec.Host, findings []driver.Finding) {
	isolation := "software emulation, which is no security boundary"
	if host.Hardware {
		isolation = "isolated by hardware"
	}
	if host.VMM != "" {
		fmt.Fprintf(a.Out, "vmm: %s, %s\n", host.VMM, isolation)
	}
	fmt.Fprintf(a.Out, "kernel: %s\nstate: %s\n", orDash(host.Kernel), w.state.Dir)
	for _, f := range findings {
		fmt.Fprintf(a.Out, "%s: %s\n", f.Severity, f.Message)
		if f.Next != "" {
			fmt.Fprintf(a.Out, "  next: %s\n", f.Next)
		}
	}
}
