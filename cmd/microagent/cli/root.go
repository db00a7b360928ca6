package cli

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

const about = `microagent runs sandboxes in microVMs from a file that is checked in next to the code.

A manifest, microagent.yaml, describes workspaces, volumes, bundles, disks and outputs.
plan shows what an apply would do, apply does it, and a second apply has nothing to do.
The guest sees block devices and nothing else, and a volume is deleted only when you name it.`

// root is the whole tree of commands.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "microagent",
		Short:         "sandboxes in microVMs, from a file next to the code",
		Long:          about,
		Example:       "  microagent plan\n  microagent apply\n  microagent run docker.io/library/alpine:3.20 echo hello",
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		Annotations:   exitsWith(ExitOK, ExitUsage),
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.flags.check(a.getenv); err != nil {
				return err
			}
			a.parsed = true
			if a.flags.dir == "" {
				return nil
			}
			return os.Chdir(a.flags.dir)
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	a.flags.add(root.PersistentFlags())
	root.AddGroup(
		&cobra.Group{ID: groupManifest, Title: "From a manifest:"},
		&cobra.Group{ID: groupObjects, Title: "By hand:"},
		&cobra.Group{ID: groupHost, Title: "The host:"})
	in := func(group string, cmds ...*cobra.Command) {
		for _, c := range cmds {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	in(groupManifest, a.validateCommand(), a.planCommand(), a.applyCommand(), a.destroyCommand(), a.statusCommand(),
		a.outputCommand(), a.schemaCommand())
	in(groupObjects, a.runCommand(), a.createCommand(), a.startCommand(), a.execCommand(), a.logsCommand(),
		a.waitCommand(), a.haltCommand(), a.cpCommand(), a.deleteCommand(), a.listCommand(), a.volumeCommand())
	in(groupHost, a.kernelCommand(), a.imageCommand(), a.doctorCommand(), a.pruneCommand(),
		a.completionCommand(root), a.versionCommand())
	root.AddCommand(a.storageTopic(), a.superviseCommand(), a.adapterCommand())
	root.SetHelpCommandGroupID(groupHost)
	root.CompletionOptions.DisableDefaultCmd = true
	help := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		help(cmd, args)
		if codes := exitsOf(cmd); len(codes) > 0 {
			fmt.Fprint(cmd.OutOrStdout(), exitStatus(codes))
		}
	})
	return root
}

const (
	groupManifest = "manifest"
	groupObjects  = "objects"
	groupHost     = "host"
)

// group is a command that only holds others.
func group(use, short string, cmds ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, Annotations: exitsWith(ExitOK, ExitUsage),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usagef(cmd.CommandPath(), "%s needs a command after it", cmd.CommandPath())
		}}
	g.AddCommand(cmds...)
	return g
}

const exitNote = "exit"

// exitsWith are the codes that a command's help lists.
func exitsWith(codes ...int) map[string]string {
	var list []string
	for _, c := range codes {
		list = append(list, strconv.Itoa(c))
	}
	return map[string]string{exitNote: strings.Join(list, " ")}
}

func exitsOf(cmd *cobra.Command) []int {
	var codes []int
	for _, s := range strings.Fields(cmd.Annotations[exitNote]) {
		if n, err := strconv.Atoi(s); err == nil {
			codes = append(codes, n)
		}
	}
	return codes
}
