package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"microagent/cmd/microagent/cli/view"
	"microagent/runtime/kernel"
)

func (a *app) kernelCommand() *cobra.Command {
	return group("kernel", "guest kernels", a.kernelInstall(), a.kernelList(), a.kernelRemove())
}

func (a *app) kernelInstall() *cobra.Command {
	var o struct {
		debs             []string
		vmlinuz, modules string
	}
	cmd := &cobra.Command{
		Use: "install", Short: "install a guest kernel",
		Long: "Installs Debian's cloud kernel by apt, which checks its signature; or the kernel of a package file, or\n" +
			"one given as files. Nothing is installed on the host itself.",
		Example: "  microagent kernel install\n  microagent kernel install --deb linux-image-6.1.0-56-cloud-amd64.deb\n" +
			"  microagent kernel install --vmlinuz /boot/vmlinuz-6.1 --modules /lib/modules/6.1",
		Annotations: exitsWith(ExitOK, ExitFailed, ExitLocked, ExitUsage, ExitInterrupted),
		RunE: does(func(ctx context.Context, _ []string) error {
			if (o.vmlinuz == "") != (o.modules == "") {
				return usagef("microagent kernel install", "--vmlinuz and --modules go together")
			}
			w, err := a.open(true)
			if err != nil {
				return err
			}
			var k kernel.Installed
			progress, done := a.StartProgress("install kernel")
			switch {
			case len(o.debs) > 0:
				k, err = w.kernels.ImportDeb(ctx, o.debs, progress)
			case o.vmlinuz != "":
				k, err = w.kernels.ImportFiles(ctx, o.vmlinuz, o.modules, progress)
			default:
				k, err = w.kernels.ImportApt(ctx, progress)
			}
			done()
			if err != nil {
				return err
			}
			return a.Done(view.OfKernel(k), "Installed kernel %s", k.Release)
		}),
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.debs, "deb", nil, "a kernel package `FILE`, repeated where Debian splits modules off")
	f.StringVar(&o.vmlinuz, "vmlinuz", "", "a kernel image")
	f.StringVar(&o.modules, "modules", "", "the folder with its modules")
	cmd.MarkFlagsMutuallyExclusive("deb", "vmlinuz")
	cmd.MarkFlagsMutuallyExclusive("deb", "modules")
	return cmd
}

func (a *app) kernelList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "list guest kernels",
		Example:     "  microagent kernel list",
		Annotations: exitsWith(ExitOK, ExitFailed),
		RunE: does(func(context.Context, []string) error {
			w, err := a.open(false)
			if err != nil {
				return err
			}
			list, err := w.kernels.List()
			if err != nil {
				return err
			}
			if a.JSON {
				return a.PrintJSON(view.OfKernels(list))
			}
			var rows [][]string
			for _, k := range list {
				used := ""
				if k.Default {
					used = "default"
				}
				rows = append(rows, []string{k.ID, k.Release, k.Arch, k.Created.UTC().Format(time.RFC3339), used})
			}
			return a.Table([]string{"ID", "RELEASE", "ARCH", "CREATED", "USED"}, rows)
		}),
	}
}

func (a *app) kernelRemove() *cobra.Command {
	return &cobra.Command{
		Use: "rm KERNEL", Short: "remove a guest kernel, by id or release",
		Example:     "  microagent kernel rm 6.1.0-56-cloud-amd64",
		Annotations: exitsWith(ExitOK, ExitFailed),
		RunE: does(func(_ context.Context, args []string) error {
			w, err := a.open(true)
			if err != nil {
				return err
			}
			if err := w.kernels.Remove(args[0]); err != nil {
				return err
			}
			return a.Done(map[string]string{"removed": args[0]}, "Removed kernel %s", args[0])
		}),
	}
}
