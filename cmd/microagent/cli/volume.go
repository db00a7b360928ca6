package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"microagent/cmd/microagent/cli/view"
	"microagent/runtime/driver"
	"microagent/schema/quantity"
	"microagent/schema/spec"
)

const mebibyte = 1 << 20

func (a *app) volumeCommand() *cobra.Command {
	return group("volume", "named disks that outlive every workspace",
		a.volumeCreate(), a.volumeList(), a.volumeStatus(), a.volumeDelete(), a.volumeGrow(), a.volumeAdopt(),
		a.volumeClone(), a.volumeSnapshot(), a.volumeSnapshots(), a.volumeRestore(),
		a.volumeExport(), a.volumeImport(), a.volumeUsage(), a.volumeTrim(), a.volumeCheck(),
		a.volumeProtect("protect", "refuse to delete a volume", true),
		a.volumeProtect("unprotect", "allow to delete a volume again", false))
}

// sizeFlags are the two ways to say a size.
type sizeFlags struct {
	mib  int
	size string
}

func (s *sizeFlags) add(cmd *cobra.Command) {
	wholeVar(cmd.Flags(), &s.mib, "size-mib", 1, 0, "size in MiB")
	cmd.Flags().StringVar(&s.size, "size", "", "size with its unit, as 2GiB")
}

func (s *sizeFlags) bytes(command string) (int64, error) {
	flag, text := "--size", s.size
	switch {
	case s.mib != 0 && s.size != "":
		return 0, usagef(command, "--size-mib and --size exclude each other")
	case s.mib > 0:
		flag, text = "--size-mib", fmt.Sprintf("%dMiB", s.mib)
	case text == "":
		return 0, usagef(command, "a size is needed: --size-mib 512, or --size 2GiB")
	}
	n, err := quantity.ParseDisk(text)
	if err != nil {
		return 0, usagef(command, "%s: %w", flag, err)
	}
	return n.Bytes(), nil
}

func (a *app) volumeCreate() *cobra.Command {
	var s sizeFlags
	cmd := &cobra.Command{
		Use: "create NAME --size-mib N", Short: "make an empty volume",
		Long:        "Makes an empty ext4 disk. One that is there already with the same size is left as it is.",
		Example:     "  microagent volume create data --size-mib 512\n  microagent volume create data --size 2GiB",
		Annotations: exitsWith(ExitOK, ExitFailed, ExitLocked, ExitUsage),
		RunE: does(func(ctx context.Context, args []string) error {
			const command = "microagent volume create"
			// A name with a dot is one that a project's apply gives.
			name, err := quantity.ParseName(args[0])
			if err != nil {
				return usagef(command, "%w", err)
			}
			n, err := s.bytes(command)
			if err != nil {
				return err
			}
			w, err := a.open(true)
			if err != nil {
				return err
			}
			v, created, err := w.Volumes.Create(ctx, driver.VolumeSpec{Name: name.String(), Size: n})
			if err != nil {
				return err
			}
			if created {
				return a.Done(view.OfVolume(v), "Created volume %q (%s)", v.Name, mib(v.Size))
			}
			return a.Done(view.OfVolume(v), "Volume %q (%s) is there already", v.Name, mib(v.Size))
		}),
	}
	s.add(cmd)
	return cmd
}

func (a *app) volumeList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "list volumes",
		Long:        "All in the state directory, or with --project those of that project.",
		Example:     "  microagent volume list",
		Annotations: exitsWith(ExitOK, ExitFailed),
		RunE: does(func(ctx context.Context, _ []string) error {
			w, err := a.open(false)
			if err != nil {
				return err
			}
			list, broken := w.Volumes.List(ctx)
			list = asked(a, list, func(v driver.Volume) string { return v.Project })
			if a.JSON {
				return errors.Join(a.PrintJSON(view.OfVolumes(list)), broken)
			}
			columns := []string{"NAME", "SIZE-MIB", "ATTACHED"}
			protected := slices.ContainsFunc(list, func(v driver.Volume) bool { return v.Protected })
			if protected {
				columns = append(columns, "PROTECTED")
			}
			var rows [][]string
			for _, v := range list {
				holder := ""
				if v.Attached {
					holder = holderName(v)
				}
				row := []string{v.Name, strconv.FormatInt(v.Size/mebibyte, 10), holder}
				if protected {
					row = append(row, map[bool]string{true: "yes"}[v.Protected])
				}
				rows = append(rows, row)
				if v.RecordDigest == "" {
					a.Say("volume %s is an image without a record: microagent volume adopt %s", v.Name, v.Name)
				}
				if fault := faultOf(v); fault != "" {
					a.Say("volume %s has drifted: %s", v.Name, fault)
				}
			}
			return errors.Join(a.Table(columns, rows), broken)
		}),
	}
}

func (a *app) volumeStatus() *cobra.Command {
	return &cobra.Command{
		Use: "status VOLUME", Short: "show a volume and its last holder",
		Example:     "  microagent volume status data",
		Annotations: exitsWith(ExitOK, ExitFailed),
		RunE: does(func(ctx context.Context, args []string) error {
			w, err := a.open(false)
			if err != nil {
				return err
			}
			v, err := a.volume(ctx, w, "show volume", args[0])
			if err != nil {
				return err
			}
			if a.JSON {
				return a.PrintJSON(view.OfVolume(v))
			}
			created := "-"
			if !v.Created.IsZero() {
				created = v.Created.UTC().Format(time.RFC3339)
			}
			fmt.Fprintf(a.Out, "Name: %s\nSize: %s\nCreated: %s\nAttached: %s\nPath: %s\n", v.Name, mib(v.Size), created, orDash(holderName(v)), v.Path)
			if v.RecordDigest == "" {
				fmt.Fprintln(a.Out, a.reaching("Record: none; to make one: microagent volume adopt "+v.Name))
			}
			if fault := faultOf(v); fault != "" {
				fmt.Fprintf(a.Out, "Drifted: %s\n", fault)
			}
			if v.Protected {
				fmt.Fprintln(a.Out, a.reaching("Protected: until it is lifted by: microagent volume unprotect "+v.Name))
			}
			return nil
		}),
	}
}

func (a *app) volumeGrow() *cobra.Command {
	var s sizeFlags
	cmd := &cobra.Command{
		Use: "grow VOLUME --size-mib N", Short: "make a volume larger",
		Long: "Makes the disk larger, and the file system on it: at once while a workspace has it, at its next mount\n" +
			"otherwise. A volume never shrinks.",
		Example:     "  microagent volume grow data --size 4GiB",
		Annotations: exitsWith(ExitOK, ExitFailed, ExitRefused, ExitLocked, ExitUsage),
		RunE: does(func(ctx context.Context, args []string) error {
			n, err := s.bytes("microagent volume grow")
			if err != nil {
				return err
			}
			w, err := a.open(true)
			if err != nil {
				return err
			}
			v, err := a.volume(ctx, w, "grow volume", args[0])
			if err == nil {
				v, err = w.Volumes.Grow(ctx, v.Name, n, driver.ByCommand)
			}
			if err != nil {
				return err
			}
			return a.Done(view.OfVolume(v), "Volume %q has %s", v.Name, mib(v.Size))
		}),
	}
	s.add(cmd)
	return cmd
}

func (a *app) volumeProtect(use, short string, on bool) *cobra.Command {
	return &cobra.Command{
		Use: use + " VOLUME", Short: short,
		Example:     "  microagent volume " + use + " data",
		Annotations: exitsWith(ExitOK, ExitFailed, ExitLocked),
		RunE: does(func(ctx context.Context, args []string) error {
			w, err := a.open(true)
			if err != nil {
				return err
			}
			v, err := a.volume(ctx, w, use+" volume", args[0])
			if err == nil {
				err = w.Volumes.Protect(ctx, v.Name, on)
			}
			if err != nil {
				return err
			}
			v.Protected = on
			return a.Done(view.OfVolume(v), "Volume %q: %sed", v.Name, use)
		}),
	}
}

func (a *app) volumeDelete() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "delete VOLUME[:TAG]", Aliases: []string{"rm"}, Short: "delete a volume and its data, or a snapshot of it",
		Long: "Deletes the volume and all data on it; naming it is what authorises that. While a running workspace\n" +
			"holds it nothing happens; --force stops the holder first. Its snapshots stay. With a tag that snapshot\n" +
			"is deleted, and nothing else.",
		Example:     "  microagent volume delete data\n  microagent volume delete data:nightly",
		Annotations: exitsWith(ExitOK, ExitFailed, ExitRefused, ExitLocked),
		RunE: does(func(ctx context.Context, args []string) error {
			w, err := a.open(true)
			if err != nil {
				return err
			}
			if name, tag, ok := strings.Cut(args[0], ":"); ok {
				return a.deleteSnapshot(ctx, w, name, tag)
			}
			v, err := a.volume(ctx, w, "delete volume", args[0])
			if err != nil {
				return err
			}
			err = w.Volumes.Delete(ctx, v.Name)
			if force && errors.Is(err, driver.ErrBusy) {
				if err = a.stopHolders(ctx, w, v); err != nil {
					return err
				}
				err = w.Volumes.Delete(ctx, v.Name)
			}
			if err != nil {
				return err
			}
			return a.Said(map[string]string{"deleted": v.Name}, "Deleted volume %q", v.Name)
		}),
	}
	cmd.Flags().BoolVar(&force, "force", false, "stop the workspace that holds it first")
	return cmd
}

// stopHolders stops the workspaces that have a volume attached: one writer, or any number of readers.
func (a *app) stopHolders(ctx context.Context, w *world, v driver.Volume) error {
	list, _ := w.Workspaces.List(ctx) // one that can't be understood does not keep the others from being stopped
	for _, ws := range list {
		holds := v.Holder != nil && v.Holder.Workspace == ws.Spec.Name || slices.ContainsFunc(ws.Spec.Mounts, func(m spec.Mount) bool {
			return m.Kind == spec.MountVolume && m.Name == v.Name
		})
		if !holds || ws.Run == nil {
			continue
		}
		how, err := w.Runs.Stop(ctx, ws.Spec.Name, driver.StopOptions{})
		if err != nil {
			return fmt.Errorf("stop workspace %s, which holds volume %s: %w", ws.Spec.Name, v.Name, err)
		}
		if how.Was {
			a.Say("stopped workspace %s, which held it", ws.Spec.Name)
		}
	}
	return nil
}

// volume finds the volume that the user means.
func (a *app) volume(ctx context.Context, w *world, op, name string) (driver.Volume, error) {
	return find(a, op, name, "microagent volume list", func(n string) (driver.Volume, error) { return w.Volumes.Get(ctx, n) })
}

// foundVolume is volume, without who holds it.
func (a *app) foundVolume(ctx context.Context, w *world, op, name string) (driver.Volume, error) {
	return find(a, op, name, "microagent volume list", func(n string) (driver.Volume, error) { return w.Volumes.Find(ctx, n) })
}

// faultOf says why a volume's image is not the one that its record is of, "" when it is.
func faultOf(v driver.Volume) string {
	if v.ImageMissing {
		return "its image is gone"
	}
	return v.Changed
}

func holderName(v driver.Volume) string {
	if v.Holder == nil {
		return ""
	}
	return v.Holder.Workspace
}

// mib is a volume's size as the volume commands print it.
func mib(n int64) string {
	if n%mebibyte != 0 {
		return strconv.FormatInt(n, 10) + " bytes"
	}
	return strconv.FormatInt(n/mebibyte, 10) + " MiB"
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// nonNil makes an empty list print as [] and not as null.
func nonNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
