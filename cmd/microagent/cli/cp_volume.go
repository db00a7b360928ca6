package cli

import (
	"context"
	"strings"

	"microagent/cmd/microagent/cli/view"
	"microagent/runtime/driver"
	"microagent/schema/printable"
)

// volumeSide stands where the name of a workspace does, for a volume that needs none. No new workspace gets that name.
const volumeSide = "volume"

// ofVolume says that a side is volume:NAME:/path.
func (s guestSide) ofVolume() bool { return s.workspace == volumeSide && s.disk != "" }

// copyVolume copies with a volume that no workspace uses.
func (a *app) copyVolume(ctx context.Context, side guestSide, host string, in, recursive bool, ifRun string) error {
	if ifRun != "" {
		return usagef("microagent cp", "--if-run is of a workspace, and %s:%s is a volume", side.workspace, side.disk)
	}
	w, err := a.open(in)
	if err != nil {
		return err
	}
	v, err := a.foundVolume(ctx, w, "copy with volume", side.disk)
	if err != nil {
		return err
	}
	spec := driver.CopySpec{Recursive: recursive, Host: a.hostEnd(host, in),
		Guest: driver.GuestEnd{Disk: volumeSide + ":" + v.Name, Path: side.path, Image: v.Path}}
	do := w.offline.CopyOut
	if in {
		do = w.offline.CopyIn
	}
	got, err := do(ctx, spec)
	if err != nil {
		return err
	}
	return a.copied(got, spec, !in)
}

// copied says what was copied.
func (a *app) copied(got driver.Copied, spec driver.CopySpec, fromGuest bool) error {
	a.leftOut(got.LeftOut)
	if len(got.Git) > 0 && fromGuest {
		a.Say("note: %s came from the guest, and git runs what the configuration in it says", printable.Line(strings.Join(got.Git, ", ")))
	}
	if a.JSON && spec.Host.Writer == nil {
		return a.PrintJSON(view.OfCopied(got))
	}
	return nil
}
