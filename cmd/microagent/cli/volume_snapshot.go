package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"microagent/cmd/microagent/cli/view"
	"microagent/runtime/driver"
)

func (a *app) volumeSnapshot() *cobra.Command {
	return &cobra.Command{
		Use: "snapshot VOLUME[:TAG]", Short: "keep what is on a volume now, under a tag",
		Long: "Copies the volume as it is now, at once where the host's file system can share blocks. Without a tag the time\n" +
			"is one, as 20260102-150405. While a guest writes to the volume, it holds it still for that, 5 s at most; what\n" +
			"takes longer is refused, and is done once the guest has halted. A snapshot outlives its volume, and is deleted by\n" +
			"its name only.",
		Example:     "  microagent volume snapshot data:before-upgrade\n  microagent volume snapshot data",
		Annotations: exitsWith(ExitOK, ExitFailed, ExitRefused, ExitLocked, ExitUsage),
		RunE: does(func(ctx context.Context, args []string) error {
			name, tag, tagged := strings.Cut(args[0], ":")
			if tagged && tag == "" {
				return usagef("microagent volume snapshot", "there is no tag behind the colon of %q", args[0])
			}
			w, err := a.open(true)
			if err != nil {
				return err
			}
			v, err := a.foundVolume(ctx, w, "snapshot volume", name)
			if err != nil {
				return err
			}
			s, err := w.VolumeData.Snapshot(ctx, v.Name, tag, driver.MadeByHand)
			if err != nil {
				return err
			}
			return a.Done(view.OfSnapshot(s), "Made snapshot %q (%s)", s.Name(), mib(s.Size))
		}),
	}
}

func (a *app) volumeSnapshots() *cobra.Command {
	return &cobra.Command{
		Use: "snapshots [VOLUME]", Short: "list snapshots of volumes",
		Long: "Those of one volume, or all in the state directory; with --project those of that project. MADE says what made\n" +
			"one without being asked by name: an apply, or a restore that kept what it replaced.",
		Example:     "  microagent volume snapshots\n  microagent volume snapshots data",
		Annotations: exitsWith(ExitOK, ExitFailed),
		RunE: does(func(ctx context.Context, args []string) error {
			w, err := a.open(false)
			if err != nil {
				return err
			}
			var list []driver.Snapshot
			if len(args) == 0 {
				list, err = w.VolumeData.Snapshots(ctx, "")
			} else {
				list, err = a.snapshotsOf(ctx, w, args[0])
			}
			if err != nil {
				return err
			}
			list = asked(a, list, func(s driver.Snapshot) string { return s.Project })
			if a.JSON {
				return a.PrintJSON(view.OfSnapshots(list))
			}
			var rows [][]string
			for _, s := range list {
				rows = append(rows, []string{s.Name(), strconv.FormatInt(s.Size/mebibyte, 10), s.Created.UTC().Format(time.RFC3339), orDash(string(s.Made))})
			}
			return a.Table([]string{"NAME", "SIZE-MIB", "CREATED", "MADE"}, rows)
		}),
	}
}

// snapshotsOf are those of a volume that is there, or of one that was deleted and left some.
func (a *app) snapshotsOf(ctx context.Context, w *world, name string) (list []driver.Snapshot, err error) {
	for _, n := range a.candidates(name) {
		if list, err = w.VolumeData.Snapshots(ctx, n); err != nil || len(list) > 0 {
			return list, err
		}
	}
	_, err = a.foundVolume(ctx, w, "list snapshots", name)
	return nil, err
}

func (a *app) volumeRestore() *cobra.Command {
	return &cobra.Command{
		Use: "restore VOLUME:TAG", Short: "give a volume what it held when a snapshot was made",
		Long: "Replaces what is on the volume by the snapshot's content, and keeps what was there as snapshot VOLUME:before-TAG.\n" +
			"No workspace may be using it. A volume that was deleted comes back. Tasks of a project that completed are not\n" +
			"run again for it: apply --rerun NAME does that.",
		Example:     "  microagent volume restore data:before-upgrade",
		Annotations: exitsWith(ExitOK, ExitFailed, ExitRefused, ExitLocked, ExitUsage),
		RunE: does(func(ctx context.Context, args []string) error {
			name, tag, ok := strings.Cut(args[0], ":")
			if !ok || tag == "" {
				return usagef("microagent volume restore", "%q names no snapshot: write VOLUME:TAG, as volume snapshots lists them", args[0])
			}
			w, err := a.open(true)
			if err != nil {
				return err
			}
			if name, err = a.ofSnapshot(ctx, w, "restore volume", name, tag); err != nil {
				return err
			}
			got, err := w.VolumeData.Restore(ctx, name, tag)
			if err != nil {
				return err
			}
			if got.Kept != nil {
				a.Say("what was there is snapshot %s", got.Kept.Name())
			}
			return a.Done(view.OfRestored(got), "Restored volume %q from %q (%s)", name, name+":"+tag, mib(got.Volume.Size))
		}),
	}
}

func (a *app) deleteSnapshot(ctx context.Context, w *world, name, tag string) error {
	name, err := a.ofSnapshot(ctx, w, "delete snapshot", name, tag)
	if err == nil {
		err = w.VolumeData.DeleteSnapshot(ctx, name, tag)
	}
	if err != nil {
		return err
	}
	return a.Said(map[string]string{"deleted": name + ":" + tag}, "Deleted snapshot %q", name+":"+tag)
}

// ofSnapshot is the volume, there or not, whose snapshot the user means.
func (a *app) ofSnapshot(ctx context.Context, w *world, op, name, tag string) (string, error) {
	for _, n := range a.candidates(name) {
		list, err := w.VolumeData.Snapshots(ctx, n)
		if err != nil {
			return "", err
		}
		for _, s := range list {
			if s.Tag == tag {
				return n, nil
			}
		}
	}
	return "", &driver.Error{Class: driver.ErrNotFound, Op: op, Object: fmt.Sprintf("%s:%s", name, tag), Err: errors.New("there is no snapshot of that name"),
		Next: "microagent volume snapshots"}
}

// source is what is copied: a volume, or a snapshot.
func (a *app) source(ctx context.Context, w *world, op, words string) (string, error) {
	name, tag, tagged := strings.Cut(words, ":")
	if tagged {
		name, err := a.ofSnapshot(ctx, w, op, name, tag)
		return name + ":" + tag, err
	}
	v, err := a.foundVolume(ctx, w, op, name)
	return v.Name, err
}
