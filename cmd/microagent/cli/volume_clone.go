package cli

import (
	"context"

	"github.com/spf13/cobra"

	"microagent/cmd/microagent/cli/view"
	"microagent/schema/quantity"
)

func (a *app) volumeClone() *cobra.Command {
	return &cobra.Command{
		Use: "clone VOLUME[:TAG] NAME", Short: "make a volume with the content of another, or of a snapshot",
		Long: "Copies a volume as it is now: at once where the host's file system can share blocks, data by data and with\n" +
			"its holes otherwise. A guest that writes to it holds it still for that, 5 s at most; what takes longer is refused,\n" +
			"and is done once the guest has halted. The copy is a volume of no project, with an identity (UUID) of its own. Cut\n" +
			"short at any moment, there is the whole copy or none.",
		Example:     "  microagent volume clone data trial\n  microagent volume clone shop.data:nightly trial",
		Annotations: exitsWith(ExitOK, ExitFailed, ExitRefused, ExitLocked, ExitUsage),
		RunE: does(func(ctx context.Context, args []string) error {
			name, err := quantity.ParseName(args[1])
			if err != nil {
				return usagef("microagent volume clone", "%w", err)
			}
			w, err := a.open(true)
			if err != nil {
				return err
			}
			source, err := a.source(ctx, w, "clone volume", args[0])
			if err != nil {
				return err
			}
			got, err := w.VolumeData.Clone(ctx, source, name.String())
			if err != nil {
				return err
			}
			if !got.OwnIdentity {
				a.Say("note: both have the UUID of %s, since the checksums of its file system are made of it", source)
			}
			return a.Done(view.OfCloned(got), "Cloned volume %q as %q (%s)", source, got.Volume.Name, mib(got.Volume.Size))
		}),
	}
}
