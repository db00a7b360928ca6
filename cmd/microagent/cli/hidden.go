package cli

import (
	"context"

	"github.com/spf13/cobra"
)

// superviseCommand is how a workspace's supervisor starts: the program runs itself.
func (a *app) superviseCommand() *cobra.Command {
	return &cobra.Command{Use: "supervise", Hidden: true, DisableFlagParsing: true,
		RunE: does(func(context.Context, []string) error { return notBuilt("supervise a workspace") })}
}

// adapterCommand is how the QEMU adapter starts.
func (a *app) adapterCommand() *cobra.Command {
	return &cobra.Command{Use: "qemu-adapter", Hidden: true, DisableFlagParsing: true,
		RunE: does(func(ctx context.Context, args []string) error {
			return exits(serveAdapter(ctx, args), nil)
		})}
}
