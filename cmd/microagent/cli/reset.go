package cli

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"microagent/apply"
	"microagent/apply/folder"
	"microagent/cmd/microagent/cli/view"
	"microagent/runtime/driver"
)

// wasReset is the record of a reset.
type wasReset struct {
	Name   string    `json:"name"`
	Was    bool      `json:"was_running"` // and runs again
	Forced bool      `json:"forced"`
	Kept   bool      `json:"kept_rootfs"`
	Run    *view.Run `json:"run,omitempty"` // that it is in now
}

func (a *app) resetCommand() *cobra.Command {
	var yes bool
	var loss lossFlag
	var until waitFlags
	cmd := &cobra.Command{
		Use: "reset WORKSPACE...", Short: "take workspaces back to their images, and run them again",
		Long: "Stops a workspace, within five seconds, gives it a fresh root file system of the image that it was made of, and starts\n" +
			"it again if it ran; one that was stopped stays so. Volumes keep what is in them. The root file system that it had is\n" +
			"kept until the next replacement or prune, and restore brings it back, unless --allow-data-loss names the workspace.\n" +
			"What flags of start gave to the run that ends, ports and network, goes with it. Cut short, it is finished by the next\n" +
			"reset.\n" + sequenceText + severalText,
		Example:     "  microagent reset scratch --yes\n  microagent reset one two --yes",
		Annotations: exitsWith(ExitOK, ExitFailed, ExitRefused, ExitLocked, ExitUsage, ExitTimeout),
		RunE: does(func(ctx context.Context, args []string) error {
			if err := loss.check(a.command.CommandPath(), "workspace"); err != nil {
				return err
			}
			if err := until.check("reset"); err != nil {
				return err
			}
			w, err := a.open(true)
			if err != nil {
				return err
			}
			chosen := a.choose(ctx, w, "reset workspace", args)
			if names := chosen.names(); !yes && len(names) > 0 {
				if err := a.Confirm(ctx, "reset workspace", joined(names), "Take "+joined(names)+" back to the image, and the files outside volumes away?",
					"microagent reset "+strings.Join(names, " ")+" --yes"); err != nil {
					return err
				}
			}
			files, err := folder.Free(".") // an image that is gone from the store comes in as create brings it in
			if err != nil {
				return err
			}
			defer files.Close()
			all, _ := w.Workspaces.List(ctx)
			return a.inSequence(ctx, w, chosen, func(ctx context.Context, seq *apply.Sequence, ws driver.Workspace) (told, error) {
				until := until
				until.wait = until.wait || apply.AwaitedReady(all, ws.Spec.Name)
				r := &reset{a: a, w: w, seq: seq, files: files, ws: ws, until: until, lose: slices.Contains(loss, "workspace/"+ws.Spec.Name)}
				for _, step := range r.steps() {
					if err := step(ctx); err != nil {
						return told{}, err
					}
				}
				return r.told(), nil
			})
		}),
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "don't ask")
	cmd.Flags().BoolVar(&until.wait, "wait", false, "wait until it is ready again")
	until.add(cmd.Flags())
	loss.add(cmd.Flags(), "workspace/NAME")
	return cmd
}

// reset is one of a workspace.
type reset struct {
	a     *app
	w     *world
	seq   *apply.Sequence
	files *folder.Folder
	ws    driver.Workspace
	until waitFlags
	lose  bool

	rootfs string // the key of the disk that it begins with
	did    wasReset
}

// steps are those of a reset. Cut short behind any of them, a reset that begins anew comes to the same end: what ran runs
// again, and what was written is kept.
func (r *reset) steps() []func(context.Context) error {
	return []func(context.Context) error{r.prepare, r.halt, r.replace, r.start}
}

// prepare makes the disk while the guest runs on.
func (r *reset) prepare(ctx context.Context) (err error) {
	r.did.Name = r.ws.Spec.Name
	if r.ws.Spec.OneShot {
		return &driver.Error{Class: driver.ErrRefused, Op: "reset workspace", Object: r.ws.Spec.Name,
			Err: errors.New("it is deleted when the run ends that it is for"), Next: "microagent create --help"}
	}
	progress, done := r.a.StartProgress("reset " + r.ws.Spec.Name)
	defer done()
	r.rootfs, err = apply.FreshRoot(ctx, r.w.Set, r.files, r.ws.Spec, progress)
	return err
}

func (r *reset) halt(ctx context.Context) error {
	return r.seq.Down(ctx, r.ws.Spec.Name, func() error {
		how, err := r.a.stopToDelete(ctx, r.w, r.ws.Spec.Name, true)
		r.did.Was, r.did.Forced = how.Was || r.ws.Again, how.Forced
		return err
	})
}

func (r *reset) replace(ctx context.Context) error {
	name := r.ws.Spec.Name
	now, err := r.w.Workspaces.Reset(context.WithoutCancel(ctx), name, r.rootfs, r.lose, nil)
	if !r.lose {
		err = apply.KeepError(err, name, "make room, or give it up: microagent reset "+name+" --yes --allow-data-loss=workspace/"+name)
	}
	r.did.Kept = err == nil && !r.lose && now.ID != r.ws.ID && !r.ws.RootFSMissing
	return err
}

func (r *reset) start(ctx context.Context) error {
	if !r.did.Was {
		return nil
	}
	run, err := r.a.bringUpIn(ctx, r.w, r.seq, r.ws, driver.StartOptions{}, r.until)
	r.did.Run = new(view.OfRun(run))
	return err
}

func (r *reset) told() told {
	if r.did.Kept {
		r.a.Say("%s: the root file system that it had is kept until the next replacement or prune; to bring it back: %s",
			r.ws.Spec.Name, restoring(r.ws.Spec.Name, r.did.Was))
	}
	text := "Reset %q"
	if !r.did.Was {
		text = "Reset %q, which stays stopped"
	}
	return told{r.did, text, []any{r.ws.Spec.Name}}
}
