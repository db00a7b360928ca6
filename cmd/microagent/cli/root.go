package cli

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

const about = `microagent runs sandboxes in microVMs from a file that is checked in next to the code.

A manifest, microagent.yaml, describes workspaces, volumes, bundles, disks and outputs.
plan shows what an apply would do, apply does it, and a second apply has nothing to do.
The guest sees block devices, and no folder of the host, and a volume is deleted only when you name it.`

// root is the whole tree of commands.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "microagent",
		Short:         "sandboxes in microVMs, from a file next to the code",
		Long:          about,
		Args:          noSuchCommand,
		Example:       "  microagent plan\n  microagent apply\n  microagent run docker.io/library/alpine:3.20 echo hello",
		SilenceErrors: true,
		SilenceUsage:  true,
		// What stands before the command's word is read as a global flag, also where the command gives its letter another meaning.
		TraverseChildren: true,
		Annotations:      exitsWith(ExitOK, ExitUsage),
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.flags.check(a.Getenv); err != nil {
				return err
			}
			if err := checkExclusive(cmd); err != nil {
				return err
			}
			a.parsed, a.command = true, cmd
			if a.flags.dir == "" {
				return nil
			}
			return os.Chdir(a.flags.dir)
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	a.flags.screen = a.Screen
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
	in(groupManifest, a.validateCommand(), a.renderCommand(), a.planCommand(), a.graphCommand(), a.showCommand(), a.applyCommand(), a.destroyCommand(), a.statusCommand(), a.eventsCommand(), a.historyCommand(),
		a.outputCommand(), a.schemaCommand())
	in(groupObjects, a.runCommand(), a.createCommand(), a.startCommand(), a.forwardCommand(), a.execCommand(), a.logsCommand(), a.statsCommand(),
		a.waitCommand(), a.haltCommand(), a.restartCommand(), a.cpCommand(), a.resetCommand(), a.deleteCommand(), a.restoreCommand(), a.listCommand(), a.networkCommand(), a.volumeCommand())
	in(groupHost, a.kernelCommand(), a.imageCommand(), a.doctorCommand(), a.pruneCommand(),
		a.completionCommand(root), a.versionCommand())
	root.AddCommand(a.storageTopic(), a.superviseCommand(), a.adapterCommand(), a.gatewayCommand())
	root.SuggestionsMinimumDistance = 2
	root.SetHelpCommand(helpCommand(root))
	a.checkArguments(root)
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

// noSuchCommand refuses a word that is none of cmd's commands.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	near := cmd.SuggestionsFor(args[0])
	if len(near) == 0 {
		return fmt.Errorf("%s has no command %q", cmd.CommandPath(), args[0])
	}
	return fmt.Errorf("%s has no command %q; did you mean %s?", cmd.CommandPath(), args[0], strings.Join(near, " or "))
}

// helpCommand shows the help of a command, and refuses a word that is none.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND...]", Short: "show the help of a command", GroupID: groupHost, Annotations: exitsWith(ExitOK, ExitUsage),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
			cmd, _, err := root.Find(args)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			for _, c := range cmd.Commands() {
				if c.IsAvailableCommand() {
					names = append(names, c.Name())
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err == nil && len(rest) > 0 {
				err = noSuchCommand(cmd, rest)
			}
			if err != nil {
				return pointToOurs(&usageError{err: err, command: root.Name()}, args)
			}
			cmd.InitDefaultHelpFlag()
			return cmd.Help()
		},
	}
}

// group is a command that only holds others.
func group(use, short string, cmds ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{Use: use, Short: short, Args: noSuchCommand, SuggestionsMinimumDistance: 2, Annotations: exitsWith(ExitOK, ExitUsage),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usagef(cmd.CommandPath(), "%s needs a command after it", cmd.CommandPath())
		}}
	g.AddCommand(cmds...)
	return g
}

const exitNote = "exit"

// exitsWith are the codes that a command's help lists. Every command line can be wrong.
func exitsWith(codes ...int) map[string]string {
	var list []string
	codes = append(codes, ExitUsage)
	slices.Sort(codes)
	for _, c := range slices.Compact(codes) {
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
