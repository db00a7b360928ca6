package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"microagent/cmd/microagent/cli/view"
	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/schema/printable"
	"microagent/schema/quantity"
)

func (a *app) volumeExport() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use: "export VOLUME[:TAG] FILE", Short: "write a volume, or a snapshot, to a file",
		Long: "Writes the disk as it is now, packed with zstd; - is our stdout. Free space and holes are runs of zeros, so\n" +
			"that zstd -d --sparse gives a disk that any tool mounts. With --format tar the files are written instead,\n" +
			"as a tar that is not packed. Of what a running guest writes to, a copy is written that it holds still for, 5 s\n" +
			"at most. A file that is there is never replaced.",
		Example:     "  microagent volume export data data.img.zst\n  microagent volume export data:nightly - --format tar | tar t",
		Annotations: exitsWith(ExitOK, ExitFailed, ExitRefused, ExitLocked, ExitUsage),
		RunE: does(func(ctx context.Context, args []string) error {
			const command = "microagent volume export"
			as := driver.ExportForm(format)
			if as != driver.ExportImage && as != driver.ExportTar {
				return usagef(command, "--format is image or tar, and not %q", format)
			}
			if args[1] == "-" && a.JSON {
				return usagef(command, "--json and the volume can't both go to stdout")
			}
			w, err := a.open(true)
			if err != nil {
				return err
			}
			source, err := a.source(ctx, w, "export volume", args[0])
			if err != nil {
				return err
			}
			if args[1] == "-" {
				got, err := w.VolumeStreams.Export(ctx, source, as, a.Out)
				a.leftOut(got.LeftOut)
				return err
			}
			got, err := exportTo(ctx, w, source, as, args[1])
			if err != nil {
				return err
			}
			a.leftOut(got.LeftOut)
			return a.Done(view.OfExported(source, args[1], got), "Exported %q to %s (%s)", source, args[1], quantity.Size(got.Written))
		}),
	}
	cmd.Flags().StringVar(&format, "format", string(driver.ExportImage), "image or tar")
	return cmd
}

// exportTo makes a file that is whole or not there.
func exportTo(ctx context.Context, w *world, source string, as driver.ExportForm, path string) (driver.Exported, error) {
	const op = "export volume"
	taken := &driver.Error{Class: driver.ErrExists, Op: op, Object: source, Err: fmt.Errorf("%s is there already", path), Next: "choose another file"}
	if _, err := os.Lstat(path); err == nil {
		return driver.Exported{}, taken
	}
	draft, err := layout.NewDraft(path, 0o600)
	if err != nil {
		return driver.Exported{}, &driver.Error{Op: op, Object: source, Err: err}
	}
	defer draft.Close()
	got, err := w.VolumeStreams.Export(ctx, source, as, draft)
	if err == nil {
		err = draft.Publish()
	}
	if errors.Is(err, fs.ErrExist) {
		return got, taken
	}
	return got, err
}

func (a *app) leftOut(l driver.LeftOut) {
	for _, name := range l.Names {
		a.Say("left out: %s", printable.Line(name))
	}
	if more := l.Count - len(l.Names); more > 0 {
		a.Say("left out: %d more", more)
	}
}

func (a *app) volumeImport() *cobra.Command {
	var size, most string
	cmd := &cobra.Command{
		Use: "import NAME FILE", Short: "make a volume of a disk image or a tar",
		Long: "Makes a volume of what volume export wrote, or of any image of an ext4 file system or tar, plain or packed\n" +
			"with zstd, gzip or xz; - is our stdin. What the file holds is not trusted: an image that is cut short,\n" +
			"damaged, or of features that guests can't use is refused, and then there is no volume. Of a tar --size is how\n" +
			"large the volume is to be, of an image how large at least.",
		Example:     "  microagent volume import data data.img.zst\n  microagent volume import data files.tar.gz --size 2GiB",
		Annotations: exitsWith(ExitOK, ExitFailed, ExitRefused, ExitLocked, ExitUsage),
		RunE: does(func(ctx context.Context, args []string) error {
			const command = "microagent volume import"
			name, err := quantity.ParseName(args[0])
			if err != nil {
				return usagef(command, "%w", err)
			}
			spec := driver.ImportSpec{Name: name.String(), Max: driver.ImportMax}
			for _, flag := range []struct {
				name, text string
				to         *int64
			}{{"--size", size, &spec.Size}, {"--max-size", most, &spec.Max}} {
				if flag.text == "" {
					continue
				}
				n, err := quantity.ParseDisk(flag.text)
				if err != nil {
					return usagef(command, "%s: %w", flag.name, err)
				}
				*flag.to = n.Bytes()
			}
			w, err := a.open(true)
			if err != nil {
				return err
			}
			from := a.In
			if args[1] != "-" {
				f, err := os.Open(args[1])
				if err != nil {
					return &driver.Error{Op: "import volume", Object: spec.Name, Err: err, Next: "name a file that can be read"}
				}
				defer f.Close()
				from = f
			}
			v, err := w.VolumeStreams.Import(ctx, spec, io.Reader(from))
			if err != nil {
				return err
			}
			return a.Done(view.OfVolume(v), "Imported volume %q (%s)", v.Name, mib(v.Size))
		}),
	}
	cmd.Flags().StringVar(&size, "size", "", "size of the volume with its unit, as 2GiB (default: that of the image; 1GiB for a tar)")
	cmd.Flags().StringVar(&most, "max-size", "", "take nothing larger (default 64GiB)")
	return cmd
}
