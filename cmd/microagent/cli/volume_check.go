package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"microagent/cmd/microagent/cli/view"
	"microagent/runtime/driver"
)

func (a *app) volumeCheck() *cobra.Command {
	return &cobra.Command{
		Use: "check VOLUME[:TAG]", Short: "look whether a volume's file system is sound",
		Long: "Reads all that the file system says of itself, and changes nothing: checksums, which blocks and files are in use,\n" +
			"names and counts, as e2fsck -fn does. What is wrong is listed, 20 findings at most, and the command fails\n" +
			"then. Of what a running guest writes to, a copy is judged that it holds still for, 5 s at most.",
		Example:     "  microagent volume check data\n  microagent volume check data:nightly",
		Annotations: exitsWith(ExitOK, ExitFailed, ExitRefused, ExitLocked),
		RunE: does(func(ctx context.Context, args []string) error {
			w, err := a.open(true)
			if err != nil {
				return err
			}
			source, err := a.source(ctx, w, "check volume", args[0])
			if err != nil {
				return err
			}
			found, err := w.VolumeData.Check(ctx, source)
			if err != nil {
				return err
			}
			checked := view.Checked{Source: source, Sound: len(found) == 0, Findings: nonNil(found)}
			if checked.Sound {
				return a.Done(checked, "%q is sound", source)
			}
			if a.JSON {
				err = a.PrintJSON(checked)
			}
			for _, f := range found {
				if !a.JSON {
					fmt.Fprintln(a.Out, f)
				}
			}
			return errors.Join(err, &driver.Error{Class: driver.ErrCorrupt, Op: "check volume", Object: source, Err: errors.New("its file system is damaged"),
				Next: "keep a copy of its image, and have e2fsck mend it"})
		}),
	}
}
