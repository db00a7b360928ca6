package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"microagent/cmd/microagent/cli/view"
	"microagent/schema/quantity"
)

func (a *app) volumeUsage() *cobra.Command {
	return &cobra.Command{
		Use: "usage VOLUME", Short: "show how full a volume is, and what it takes on the host",
		Long: "The file system's numbers are those on the disk; while a guest writes to it they are a few seconds old.\n" +
			"Blocks that a volume shares with its snapshots count for each of them.",
		Example:     "  microagent volume usage data",
		Annotations: exitsWith(ExitOK, ExitFailed),
		RunE: does(func(ctx context.Context, args []string) error {
			w, err := a.open(false)
			if err != nil {
				return err
			}
			v, err := a.foundVolume(ctx, w, "measure volume", args[0])
			if err != nil {
				return err
			}
			u, err := w.VolumeData.Usage(ctx, v.Name)
			if err != nil {
				return err
			}
			if a.JSON {
				return a.PrintJSON(view.OfVolumeUsage(u))
			}
			fmt.Fprintf(a.Out, "Size: %s\nUsed: %s\nFree: %s\nFiles: %d of %d\nOn the host: %s\n", mib(u.Size), quantity.Size(u.Used), quantity.Size(u.Free),
				u.Files, u.MaxFile, quantity.Size(u.Allocated))
			if u.Snapshots > 0 {
				fmt.Fprintf(a.Out, "Snapshots: %d, %s on the host\n", u.Snapshots, quantity.Size(u.SnapshotBytes))
			}
			return nil
		}),
	}
}

func (a *app) volumeTrim() *cobra.Command {
	return &cobra.Command{
		Use: "trim VOLUME", Short: "give the host back what no file on a volume has",
		Long: "Makes holes in the volume's image where its file system has nothing. A running guest that writes to the volume\n" +
			"does it itself; readers have to halt.",
		Example:     "  microagent volume trim data",
		Annotations: exitsWith(ExitOK, ExitFailed, ExitRefused, ExitLocked),
		RunE: does(func(ctx context.Context, args []string) error {
			w, err := a.open(true)
			if err != nil {
				return err
			}
			v, err := a.foundVolume(ctx, w, "trim volume", args[0])
			if err != nil {
				return err
			}
			freed, err := w.VolumeData.Trim(ctx, v.Name)
			if err != nil {
				return err
			}
			return a.Done(map[string]any{"volume": v.Name, "freed": freed}, "Volume %q: %s given back to the host", v.Name, quantity.Size(freed))
		}),
	}
}
