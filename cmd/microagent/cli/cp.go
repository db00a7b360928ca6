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
	"microagent/schema/spec"
)

func (a *app) cpCommand() *cobra.Command {
	var recursive, offline bool
	var ifRun string
	cmd := &cobra.Command{
		Use: "cp SOURCE DESTINATION", Short: "copy a file in or out of a workspace",
		ValidArgsFunction: a.completeCopy,
		Long: "Copies between the host and a workspace. The guest's side is WORKSPACE:/path, or WORKSPACE:DISK:/path with\n" +
			"the name of a volume, disk or bundle that is attached; - is our stdin or stdout. No boot is needed. While the\n" +
			"workspace runs its guest is asked; --offline insists on the disk. volume:NAME:/path is a volume that nobody\n" +
			"uses now, where no workspace is called volume. The old file or the new one is there at any moment.",
		Example:     "  microagent cp ./app.conf scratch:/etc/app.conf\n  microagent cp -r scratch:data:/results ./results\n  microagent cp volume:data:/results/log .",
		Annotations: exitsWith(ExitOK, ExitFailed, ExitRefused, ExitLocked, ExitUsage),
		RunE: does(func(ctx context.Context, args []string) error {
			from, fromGuest := cutGuest(args[0])
			to, toGuest := cutGuest(args[1])
			if fromGuest == toGuest {
				return usagef("microagent cp", "one side has to be WORKSPACE:/path or volume:NAME:/path, and the other a path on the host")
			}
			side, host := to, args[0]
			if fromGuest {
				side, host = from, args[1]
			}
			w, ws, err := a.opened(ctx, toGuest, "copy with workspace", side.workspace)
			if errors.Is(err, driver.ErrNotFound) && side.ofVolume() {
				return a.copyVolume(ctx, side, host, toGuest, recursive, ifRun)
			}
			if err != nil {
				return err
			}
			if err := ws.InRun(ifRun); err != nil {
				return err
			}
			running := ws.Run != nil && ws.Run.Phase.Alive() && !offline
			spec := driver.CopySpec{Recursive: recursive, IfRun: ifRun, Host: a.hostEnd(host, toGuest)}
			if spec.Guest, err = guestEnd(w, ws, side, running); err != nil {
				return err
			}
			copier := w.offline
			if running {
				copier = w.online
			}
			do := copier.CopyOut
			if toGuest {
				do = copier.CopyIn
			}
			got, err := do(ctx, spec)
			if err != nil {
				return err
			}
			return a.copied(got, spec, fromGuest)
		}),
	}
	cmd.Flags().BoolVarP(&recursive, "recursive", "r", false, "copy directories, too")
	idVar(cmd.Flags(), &ifRun, "if-run", "refuse (5) unless the workspace is in the run with this `ID`, or as that left it")
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
		return driver.HostEnd{Reader: a.In}
	case path == "-":
		return driver.HostEnd{Writer: a.Out}
	}
	return driver.HostEnd{Path: path}
}

// guestEnd finds the disk that the guest's side lies on, or the path in the running guest. On a stopped one a path below
// a mount lies on what is mounted there, as its guest would have it.
func guestEnd(w *world, ws driver.Workspace, side guestSide, running bool) (driver.GuestEnd, error) {
	end := driver.GuestEnd{Workspace: ws.Spec.Name, Disk: side.workspace, Path: side.path}
	at, found := mountAt(ws, side.path)
	if side.disk != "" {
		end.Disk += ":" + side.disk
		if at, found = mountNamed(ws, side.disk); !found {
			return end, &driver.Error{Class: driver.ErrNotFound, Op: "copy with", Object: end.Disk,
				Err: errors.New("the workspace has no disk of that name"), Next: "microagent status " + ws.Spec.Name}
		}
	}
	if !found {
		end.Image = w.state.Workspace(ws.Spec.Name).RootFS()
		end.Covered, end.Volatile = coverings(ws, "/"), volatile
		return end, nil
	}
	switch {
	case at.Kind == spec.MountBundle:
		end.ReadOnly = fmt.Sprintf("it lies on bundle %s, and a bundle is read-only", at.Name)
		end.Instead = "change the bundle's source, or copy to a volume or the root file system"
	case at.ReadOnly:
		end.ReadOnly = fmt.Sprintf("%s %s is attached read-only", at.Kind, at.Name)
		end.Instead = "attach it writable"
	}
	switch {
	case running && side.disk != "":
		end.Path = below(at.Path, side.path)
		return end, nil
	case running:
		return end, nil
	case side.disk == "":
		end.Disk += ":" + at.Name
		end.Path = below("/", inside(at.Path, side.path))
		if path.Clean(side.path) == at.Path && !strings.HasSuffix(side.path, "/.") {
			end.As = path.Base(at.Path)
		}
	}
	end.Covered, end.Mount = coverings(ws, at.Path), at.Path
	switch at.Kind {
	case spec.MountVolume:
		end.Image = w.state.VolumeImage(at.Name)
	case spec.MountBundle:
		end.Image = w.state.CachedDisk(at.Source)
	default:
		end.Image = filepath.Clean(at.Source)
	}
	return end, nil
}

// below is inside, seen from dir; a slash or a dot at its end stays, since it says something.
func below(dir, inside string) string {
	clean := path.Join(dir, inside)
	switch {
	case strings.HasSuffix(inside, "/.") && clean != "/":
		return clean + "/."
	case strings.HasSuffix(inside, "/") && clean != "/":
		return clean + "/"
	}
	return clean
}

// inside is a guest path below a mount, seen from there.
func inside(mount, guest string) string {
	rest := strings.TrimPrefix(path.Clean(guest), strings.TrimSuffix(mount, "/"))
	for _, end := range []string{"/.", "/"} {
		if strings.HasSuffix(guest, end) {
			return rest + end
		}
	}
	return rest
}

// volatile is where a guest mounts a file system of its kernel over its root file system.
var volatile = []string{"/dev", "/proc", "/run", "/sys"}

// mountNamed is what a workspace has attached under a name.
func mountNamed(ws driver.Workspace, name string) (spec.Mount, bool) {
	for _, m := range ws.Spec.Mounts {
		if m.Name == name || ws.Spec.Project != "" && m.Name == ws.Spec.Project+"."+name {
			return m, true
		}
	}
	return spec.Mount{}, false
}

// mountAt is what a guest path lies on; found is false for the root file system.
func mountAt(ws driver.Workspace, guest string) (at spec.Mount, found bool) {
	guest = path.Clean(guest)
	for _, m := range ws.Spec.Mounts {
		if (guest == m.Path || strings.HasPrefix(guest, m.Path+"/")) && len(m.Path) > len(at.Path) {
			at, found = m, true
		}
	}
	return at, found
}

// coverings are the paths on the disk that is mounted at a path, "/" being the root, that have another one over them.
func coverings(ws driver.Workspace, at string) []string {
	var list []string
	for _, m := range ws.Spec.Mounts {
		if rest, ok := strings.CutPrefix(m.Path, strings.TrimSuffix(at, "/")+"/"); ok && rest != "" {
			list = append(list, "/"+rest)
		}
	}
	return list
}
