package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"microagent/cmd/microagent/cli/term"
	"microagent/cmd/microagent/cli/view"
	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

func (a *app) pruneCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "prune", Short: "remove cached disks, images and what else nothing uses",
		Long: "Shows which cached disks no workspace and no bundle uses, which images no workspace was made of, which root file\n" +
			"systems replacements, resets and deletions kept, which initramfs other versions left, and how much they take, and\n" +
			"which jobs have ended, and which records were kept as an older microagent left them; with --yes it removes them,\n" +
			"and what is left of killed runs. Templates of guests are shown with what they take, and go when no start here can\n" +
			"use them any more. What is needed again is built or pulled again. Volumes and the root file systems of workspaces\n" +
			"are never touched, nor are jobs with outputs that nobody brought out. Images are left alone while an apply is\n" +
			"under way, initramfs while a workspace runs.",
		Example:     "  microagent prune\n  microagent prune --yes",
		Annotations: exitsWith(ExitOK, ExitFailed, ExitLocked),
		RunE: does(func(ctx context.Context, _ []string) error {
			w, err := a.open(yes)
			if err != nil {
				return err
			}
			p, err := a.prune(ctx, w, !yes)
			if err != nil {
				return err
			}
			if a.JSON {
				return a.PrintJSON(p)
			}
			return a.sayPruned(p)
		}),
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "remove them")
	return cmd
}

// pruned is what a prune removed, or would.
type pruned struct {
	DryRun    bool        `json:"dry_run"`
	Bytes     int64       `json:"bytes"`    // of all
	Disks     []string    `json:"disks"`    // keys of cached ones
	Replaced  []string    `json:"replaced"` // workspaces whose root file system of before, or whose last one, was kept
	Kept      []view.Kept `json:"kept"`     // these
	Images    []string    `json:"images"`
	ImageSize int64       `json:"image_bytes"`
	Initramfs []string    `json:"initramfs"` // paths
	Templates []templated `json:"templates"` // of saved guests; those that are of use stay
	Jobs      []view.Job  `json:"jobs"`
	Older     []string    `json:"older"` // versions of microagent whose records were kept
}

// templated is the template of a saved guest.
type templated struct {
	ID     string `json:"id"`
	CPUs   int    `json:"cpus"`
	Memory int64  `json:"memory"` // bytes, of the guest
	Bytes  int64  `json:"bytes"`  // that it takes
	Stays  bool   `json:"stays"`
}

// pruneTemplates gives the templates and what those take that go.
func pruneTemplates(w *world, dry bool) (list []templated, bytes int64, err error) {
	gone, kept, err := w.templates(dry)
	for i, t := range append(gone, kept...) {
		stays := i >= len(gone)
		list = append(list, templated{t.Key, t.Shape.CPUs, t.Shape.Memory, t.Bytes, stays})
		if !stays {
			bytes += t.Bytes
		}
	}
	return list, bytes, err
}

// prune removes what nothing uses, or with dry looks for it. What is kept of workspaces goes first: it uses cached disks.
func (a *app) prune(ctx context.Context, w *world, dry bool) (*pruned, error) {
	p := &pruned{DryRun: dry}
	kept, err := w.Workspaces.Kept(ctx)
	if err != nil {
		return nil, err
	}
	p.Kept = view.OfKepts(kept)
	keep, err := inUse(ctx, w)
	if err != nil {
		return nil, err
	}
	ofDisks, disks, err := w.Disks.Prune(ctx, keep, dry)
	if err != nil {
		return nil, err
	}
	ofKept, replaced, err := w.Workspaces.Prune(ctx, dry)
	if err != nil {
		return nil, err
	}
	ofJobs, jobs, err := w.Jobs.PruneJobs(ctx, dry)
	if err != nil {
		return nil, err
	}
	ofImages, images, err := w.Images.Prune(ctx, func() (map[string]bool, error) { return imagesInUse(ctx, w) }, dry)
	if errors.Is(err, driver.ErrLocked) {
		a.Say("images are left alone: an apply is under way, or a workspace is made")
		err = nil
	}
	if err != nil {
		return nil, err
	}
	ofInitramfs, initramfs, err := a.pruneInitramfs(ctx, w, dry)
	if err != nil {
		return nil, err
	}
	templates, ofTemplates, err := pruneTemplates(w, dry)
	if err != nil {
		return nil, err
	}
	older, ofOlder, err := w.state.PruneOlder(dry)
	if err != nil {
		return nil, err
	}
	p.Templates, p.Older = nonNil(templates), nonNil(older)
	p.Bytes = ofDisks + ofKept + ofJobs + ofImages + ofInitramfs + ofTemplates + ofOlder
	p.Disks, p.Replaced, p.Images, p.ImageSize, p.Initramfs, p.Jobs = nonNil(disks), nonNil(replaced), nonNil(images), ofImages, nonNil(initramfs), view.OfJobs(jobs)
	return p, nil
}

// pruneInitramfs leaves all alone while something runs: a guest may have been started by another version, and is started
// again with what that one had.
func (a *app) pruneInitramfs(ctx context.Context, w *world, dry bool) (int64, []string, error) {
	list, err := w.Workspaces.List(ctx)
	if err != nil {
		return 0, nil, err
	}
	if slices.ContainsFunc(list, func(ws driver.Workspace) bool { return ws.Run != nil && ws.Run.Phase.Alive() }) {
		return 0, nil, nil
	}
	return w.kernels.Prune(dry)
}

func (a *app) sayPruned(p *pruned) error {
	for _, key := range p.Disks {
		fmt.Fprintln(a.Out, key)
	}
	for _, name := range p.Replaced {
		fmt.Fprintf(a.Out, "%s of workspace %s\n", layout.RootFSPrev, name)
	}
	for _, name := range p.Images {
		fmt.Fprintf(a.Out, "image %s\n", name)
	}
	for _, path := range p.Initramfs {
		fmt.Fprintln(a.Out, path)
	}
	for _, j := range p.Jobs {
		fmt.Fprintf(a.Out, "job %s of workspace %s\n", j.ID, j.Workspace)
	}
	for _, tool := range p.Older {
		fmt.Fprintf(a.Out, "records as microagent %s left them\n", tool)
	}
	useless := 0
	for _, t := range p.Templates {
		what := ", of use to starts"
		if !t.Stays {
			useless++
			what = ""
		}
		fmt.Fprintf(a.Out, "template %s of %s with %s, %s%s\n", t.ID, counting(t.CPUs, "CPU"), term.Size(t.Memory), term.Size(t.Bytes), what)
	}
	if p.DryRun && len(p.Disks)+len(p.Replaced)+len(p.Images)+len(p.Initramfs)+len(p.Jobs)+len(p.Older)+useless > 0 {
		a.Say("nothing was removed yet; to do it: microagent prune --yes")
	}
	verb := map[bool]string{false: "freed", true: "would free"}[p.DryRun]
	what := counting(len(p.Disks)+len(p.Replaced), "disk")
	for _, more := range []struct {
		n    int
		noun string
	}{{len(p.Images), "image"}, {len(p.Initramfs), "old boot image"}, {len(p.Jobs), "job"}, {useless, "template"}, {len(p.Older), "older version"}} {
		if more.n > 0 {
			what += ", " + counting(more.n, more.noun)
		}
	}
	return a.Done(nil, "%s, %s %s", what, verb, term.Size(p.Bytes))
}

// inUse are the keys of the disks that workspaces and bundle records name.
func inUse(ctx context.Context, w *world) (map[string]bool, error) {
	keep := map[string]bool{}
	workspaces, err := w.Workspaces.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, ws := range workspaces {
		keep[ws.Spec.RootFS] = true
		for _, m := range ws.Spec.Mounts {
			keep[m.Source] = true
		}
	}
	bundles, err := w.Projects.Bundles(ctx)
	if err != nil {
		return nil, err
	}
	for _, b := range bundles {
		keep[b.Key] = true
	}
	return keep, nil
}

// imagesInUse are the digests of the images that workspaces were made of. A record that can't be read is an error: it may
// name one.
func imagesInUse(ctx context.Context, w *world) (map[string]bool, error) {
	used := map[string]bool{}
	list, err := w.Workspaces.List(ctx)
	for _, ws := range list {
		used[ws.Spec.ImageDigest] = true
	}
	return used, err
}
