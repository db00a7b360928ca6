package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"microagent/cmd/microagent/cli/view"
	"microagent/runtime/driver"
)

func (a *app) volumeAdopt() *cobra.Command {
	var project string
	cmd := &cobra.Command{
		Use: "adopt NAME", Short: "take a volume over",
		Long: "Makes a volume one of a project, or one of none, and gives an image that has no record one. Its data is\n" +
			"not touched. A project's volume is called PROJECT.NAME. One whose record can't be read is protected then: it\n" +
			"may have been.",
		Example:     "  microagent volume adopt counter.data --project counter\n  microagent volume adopt data",
		Annotations: exitsWith(ExitOK, ExitFailed, ExitRefused, ExitLocked),
		RunE: does(func(ctx context.Context, args []string) error {
			w, err := a.open(true)
			if err != nil {
				return err
			}
			v, err := a.volume(ctx, w, "adopt volume", args[0])
			e, torn := errors.AsType[*driver.Error](err)
			if torn = torn && errors.Is(e.Class, driver.ErrCorrupt); torn { // it gets a new record
				v.Name, err = e.Object, nil
			}
			if err == nil {
				err = w.Volumes.Adopt(ctx, v.Name, project)
			}
			if err == nil {
				v, err = w.Volumes.Get(ctx, v.Name)
			}
			if err != nil {
				return err
			}
			if torn {
				a.Say("volume %s: its record could not be read and may have protected it, so the new one does; to lift that: microagent volume unprotect %s",
					v.Name, v.Name)
			}
			return a.Done(view.OfVolume(v), "Adopted volume %q (%s)", v.Name, mib(v.Size))
		}),
	}
	cmd.Flags().StringVar(&project, "project", "", "the project that is to own it (default: none)")
	return cmd
}
