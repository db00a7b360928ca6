package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// lister gives the names that a word of a usage line can stand for. It reads records, and asks nobody.
type lister func(ctx context.Context, w *world) []string

// listers are the words that Tab completes, by how usage lines spell them. Another word is a file's name.
var listers = map[string]lister{
	"WORKSPACE":  workspaceNames,
	"VOLUME":     volumeNames,
	"VOLUME:TAG": snapshotNames,
	"VOLUME[:TAG]": func(ctx context.Context, w *world) []string {
		return append(volumeNames(ctx, w), snapshotNames(ctx, w)...)
	},
	"IMAGE":     imageNames,
	"REFERENCE": imageNames,
	"KERNEL":    kernelNames,
}

func workspaceNames(ctx context.Context, w *world) (names []string) {
	list, _ := w.Workspaces.List(ctx)
	for _, ws := range list {
		names = append(names, ws.Spec.Name)
	}
	return names
}

func volumeNames(ctx context.Context, w *world) (names []string) {
	list, _ := w.Volumes.List(ctx)
	for _, v := range list {
		names = append(names, v.Name)
	}
	return names
}

func snapshotNames(ctx context.Context, w *world) (names []string) {
	list, _ := w.VolumeData.Snapshots(ctx, "")
	for _, s := range list {
		names = append(names, s.Name())
	}
	return names
}

func keptNames(ctx context.Context, w *world) (names []string) {
	list, _ := w.Workspaces.Kept(ctx)
	for _, k := range list {
		names = append(names, k.Workspace)
	}
	return names
}

func imageNames(ctx context.Context, w *world) (names []string) {
	list, _ := w.Images.List(ctx)
	for _, i := range list {
		names = append(names, i.Ref)
	}
	return names
}

func kernelNames(_ context.Context, w *world) (names []string) {
	list, _ := w.kernels.List()
	for _, k := range list {
		names = append(names, k.Release)
	}
	return names
}

// completer is what cobra asks for the words that fit behind what was typed.
type completer = func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective)

// completeWords completes a command's arguments.
func (a *app) completeWords(w words) completer {
	all := append(slices.Clone(w.required), w.optional...)
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		at := len(args)
		if w.more {
			at = min(at, len(all)-1)
		}
		switch {
		case at >= len(all):
			return nil, cobra.ShellCompDirectiveNoFileComp
		case listers[all[at]] == nil:
			return nil, cobra.ShellCompDirectiveDefault
		}
		return a.complete(cmd.Context(), listers[all[at]], typed, args), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeOne completes the only argument of a command whose usage line does not say what it can be.
func (a *app) completeOne(names lister) completer {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.complete(cmd.Context(), names, typed, args), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeFlag completes a flag's value.
func (a *app) completeFlag(cmd *cobra.Command, flag string, names lister) {
	err := cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		return a.complete(cmd.Context(), names, typed, nil), cobra.ShellCompDirectiveNoFileComp
	})
	if err != nil {
		panic(err) // a flag that the command does not have
	}
}

// completeCopy completes a side of cp: a workspace with its colon, or a file of the host.
func (a *app) completeCopy(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 1 || strings.ContainsAny(typed, "/:.") {
		return nil, cobra.ShellCompDirectiveDefault
	}
	var sides []string
	for _, name := range a.complete(cmd.Context(), workspaceNames, typed, nil) {
		sides = append(sides, name+":")
	}
	if strings.HasPrefix(volumeSide, typed) {
		sides = append(sides, volumeSide+":")
	}
	if len(sides) == 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return sides, cobra.ShellCompDirectiveNoSpace
}

// complete gives the names that begin with what was typed, without those that are there already. With a manifest in view
// the bare names of its project's objects are names as well.
func (a *app) complete(ctx context.Context, names lister, typed string, there []string) []string {
	w, err := a.open(false)
	if err != nil {
		return nil
	}
	project := a.projectInView()
	var fit []string
	for _, name := range names(ctx, w) {
		if bare, ok := strings.CutPrefix(name, project+"."); ok && project != "" {
			name = bare
		}
		if strings.HasPrefix(name, typed) && !slices.Contains(there, name) {
			fit = append(fit, name)
		}
	}
	return fit
}
