package cli

import (
	"context"
	"errors"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"microagent/apply/folder"
	"microagent/cmd/microagent/cli/term"
	"microagent/cmd/microagent/cli/view"
	"microagent/runtime/driver"
)

func (a *app) imageCommand() *cobra.Command {
	return group("image", "images in the store", a.imagePull("pull", "bring an image into the store"),
		a.imagePull("import", "bring an image from a file into the store"), a.imageList(), a.imageRemove())
}

func (a *app) imagePull(use, short string) *cobra.Command {
	return &cobra.Command{
		Use: use + " IMAGE", Short: short,
		Long: "IMAGE is a registry reference, oci:DIR[:NAME], oci-archive:FILE[:NAME], docker-archive:FILE[:NAME] or rootfs:FILE.",
		Example: "  microagent image pull docker.io/library/alpine:3.20\n" +
			"  microagent image import oci-archive:./image.tar",
		Annotations: exitsWith(ExitOK, ExitFailed, ExitInterrupted),
		RunE: does(func(ctx context.Context, args []string) error {
			w, err := a.open(true)
			if err != nil {
				return err
			}
			progress, done := a.StartProgress("pull " + args[0])
			img, err := w.Images.Pull(ctx, driver.ImageSource{Ref: args[0], Files: folder.Host{}}, "", progress)
			done()
			if err != nil {
				return err
			}
			return a.Done(view.OfImage(img), "%s %s (%s)", img.Ref, img.Digest, term.Size(img.Size))
		}),
	}
}

func (a *app) imageList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "list images",
		Example:     "  microagent image list --json",
		Annotations: exitsWith(ExitOK, ExitFailed),
		RunE: does(func(ctx context.Context, _ []string) error {
			w, err := a.open(false)
			if err != nil {
				return err
			}
			list, err := w.Images.List(ctx)
			if err != nil {
				return err
			}
			if a.JSON {
				return a.PrintJSON(view.OfImages(list))
			}
			var rows [][]string
			for _, img := range list {
				rows = append(rows, []string{img.Ref, img.Digest, term.Size(img.Size)})
			}
			return a.Table([]string{"REFERENCE", "DIGEST", "SIZE"}, rows)
		}),
	}
}

func (a *app) imageRemove() *cobra.Command {
	return &cobra.Command{
		Use: "rm REFERENCE...", Short: "forget images",
		Long: "Forgets the names. What no other name holds is removed with them. Workspaces made from an image keep\n" +
			"their root file systems.",
		Example:     "  microagent image rm docker.io/library/alpine:3.20",
		Annotations: exitsWith(ExitOK, ExitFailed, ExitLocked),
		RunE: does(func(ctx context.Context, args []string) error {
			w, err := a.open(true)
			if err != nil {
				return err
			}
			var all []error
			for _, ref := range args {
				name, err := storedName(ref)
				if err != nil {
					return err
				}
				err = w.Images.Remove(ctx, name)
				if e, ok := errors.AsType[*driver.Error](err); ok {
					e.Object = ref // as it was written
				}
				if err != nil {
					all = append(all, err)
				} else if err := a.Done(map[string]string{"removed": name}, "Removed %s", name); err != nil {
					return err
				}
			}
			return errors.Join(all...)
		}),
	}
}

// storedName is the name that the store has for what a user wrote: in full, a file's path from the root.
func storedName(ref string) (string, error) {
	name := normalReference(ref)
	kind, file, ok := strings.Cut(name, ":")
	if !ok || ofRegistry(ref) {
		return name, nil
	}
	abs, err := filepath.Abs(file)
	return kind + ":" + abs, err
}
