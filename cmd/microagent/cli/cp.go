package cli

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"microagent/runtime/driver"
)

func (a *app) cpCommand() *cobra.Command {
	var recursive, offline bool
	cmd := &cobra.Command{
		Use: "cp SOURCE DESTINATION", Short: "copy a file in or out of a workspace", Args: cobra.ExactArgs(2),
		Long: "Copies between the host and a workspace. The guest's side is WORKSPACE:/path, or WORKSPACE:DISK:/path with\n" +
			"the name of a volume, disk or bundle that is attached; - is our stdin or stdout. No boot is needed. While the\n" +
			"workspace runs its guest is asked; --offline insists on the disk. The old file or the new one is there at\n" +
			"any moment.",
		Example:     "  microagent cp ./app.conf scratch:/etc/app.conf\n  microagent cp -r scratch:data:/results ./results",
		Annotations: exitsWith(ExitOK, ExitFailed, ExitRefused, ExitUsage),
		RunE: does(func(ctx context.Context, args []string) error {
			from, fromGuest := cutGuest(args[0])
			to, toGuest := cutGuest(args[1])
			if fromGuest == toGuest {
				return usagef("microagent cp", "one side has to be WORKSPACE:/path and the other a path on the host")
			}
			side, host := to, args[0]
			if fromGuest {
				side, host = from, args[1]
			}
			w, ws, err := a.opened(ctx, toGuest, "copy with workspace", side.workspace)
			if err != nil {
				return err
			}
			running := ws.Run != nil && ws.Run.Phase.Alive() && !offline
			spec := driver.CopySpec{Recursive: recursive, Host: a.hostEnd(host, toGuest)}
			if spec.Guest, err = guestEnd(w, ws, side, running, toGuest); err != nil {
				return err
			}
			copier := w.offline
			if running {
				copier = w.online
			}
			if copier == nil {
				return notBuilt("copy with a " + map[bool]string{true: "running", false: "stopped"}[running] + " workspace")
			}
			do := copier.CopyOut
			if toGuest {
				do = copier.CopyIn
			}
			got, err := do(ctx, spec)
			if err != nil {
				return err
			}
			for _, name := range got.LeftOut {
				a.say("left out: %s", name)
			}
			if host == "-" && !toGuest {
				return nil
			}
			return a.done(got, "%s: %s, %s", got.To, counting(got.Files, "file"), size(got.Bytes))
		}),
	}
	cmd.Flags().BoolVarP(&recursive, "recursive", "r", false, "copy directories, too")
	cmd.Flags().BoolVar(&offline, "offline", false, "use the disk, and fail while the workspace runs")
	return cmd
}

// guestSide is WORKSPACE:/path or WORKSPACE:DISK:/path.
type guestSide struct{ workspace, disk, path string }

// cutGuest reads the guest's side of a copy. A host path with a colon is written with ./ or / in front.
func cutGuest(text string) (guestSide, bool) {
	workspace, rest, ok := strings.Cut(text, ":")
	if !ok || workspace == "" || strings.ContainsAny(workspace, "/\\") || text == "-" {
		return guestSide{}, false
	}
	if strings.HasPrefix(rest, "/") {
		return guestSide{workspace: workspace, path: rest}, true
	}
	disk, inside, ok := strings.Cut(rest, ":")
	if !ok || disk == "" || !strings.HasPrefix(inside, "/") {
		return guestSide{}, false
	}
	return guestSide{workspace, disk, inside}, true
}

func (a *app) hostEnd(path string, in bool) driver.HostEnd {
	switch {
	case path == "-" && in:
		return driver.HostEnd{Reader: a.stdin}
	case path == "-":
		return driver.HostEnd{Writer: a.stdout}
	}
	return driver.HostEnd{Path: path}
}

// guestEnd finds the disk that the guest's side lies on, or the path in the running guest.
func guestEnd(w *world, ws driver.Workspace, side guestSide, running, write bool) (driver.GuestEnd, error) {
	end := driver.GuestEnd{Workspace: ws.Spec.Name, Disk: side.workspace, Path: side.path,
		Image: w.state.Workspace(ws.Spec.Name).RootFS()}
	if side.disk == "" {
		for _, m := range ws.Spec.Mounts {
			end.Covered = append(end.Covered, m.Path)
		}
		return end, nil
	}
	end.Disk += ":" + side.disk
	for _, m := range ws.Spec.Mounts {
		if m.Name != side.disk && m.Name != ws.Spec.Project+"."+side.disk {
			continue
		}
		if write && (m.Kind == driver.MountBundle || m.ReadOnly) {
			return end, &driver.Error{Class: driver.ErrRefused, Op: "copy to", Object: end.Disk,
				Err: fmt.Errorf("the %s is read-only", m.Kind), Next: "change its source, or copy to the root file system or a volume"}
		}
		switch {
		case running:
			end.Path = path.Join(m.Path, side.path)
			if strings.HasSuffix(side.path, "/") {
				end.Path += "/"
			}
		case m.Kind == driver.MountVolume:
			end.Image = w.state.VolumeImage(m.Name)
		case m.Kind == driver.MountBundle:
			end.Image = w.state.CachedDisk(m.Source)
		default:
			end.Image = filepath.Clean(m.Source)
		}
		return end, nil
	}
	return end, &driver.Error{Class: driver.ErrNotFound, Op: "copy with", Object: end.Disk,
		Err: errors.New("the workspace has no disk of that name"), Next: "microagent status " + ws.Spec.Name}
}
