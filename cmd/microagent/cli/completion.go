package cli

import (
	"context"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) completionCommand(root *cobra.Command) *cobra.Command {
	shells := map[string]func(io.Writer) error{
		"bash":       func(w io.Writer) error { return root.GenBashCompletionV2(w, true) },
		"fish":       func(w io.Writer) error { return root.GenFishCompletion(w, true) },
		"powershell": root.GenPowerShellCompletionWithDesc,
		"zsh":        root.GenZshCompletion,
	}
	names := slices.Sorted(maps.Keys(shells))
	return &cobra.Command{
		Use: "completion SHELL", Short: "print a script that completes command lines", ValidArgs: names,
		Long: "Prints what a shell reads to complete microagent's command lines. SHELL is " + strings.Join(names, ", ") + ".\n" +
			"The one for bash uses functions of the package bash-completion, which has to be loaded before it.",
		Example: "  source <(microagent completion bash)\n" +
			"  microagent completion bash > /etc/bash_completion.d/microagent\n" +
			"  microagent completion zsh > \"${fpath[1]}/_microagent\"\n" +
			"  microagent completion fish > ~/.config/fish/completions/microagent.fish",
		Annotations: exitsWith(ExitOK, ExitUsage),
		RunE: does(func(_ context.Context, args []string) error {
			script := shells[args[0]]
			if script == nil {
				return usagef("microagent completion", "there is no script for %q; it can be %s", args[0], strings.Join(names, ", "))
			}
			return script(a.Out)
		}),
	}
}
