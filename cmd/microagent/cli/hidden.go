package cli

import (
	"context"

	"github.com/spf13/cobra"
)

// The names of the commands by which the program starts itself.
const (
	superviseName = "supervise"
	adapterName   = "qemu-adapter"
	gatewayName   = "network-gateway"
)

// hidden says whether args are a command that the program gave itself. Its signals are its own.
func hidden(args []string) bool {
	return len(args) > 0 && (args[0] == superviseName || args[0] == adapterName || args[0] == gatewayName)
}

// superviseCommand is how a workspace's supervisor starts: the program runs itself.
func (a *app) superviseCommand() *cobra.Command {
	return &cobra.Command{Use: superviseName, Hidden: true,
		RunE: does(func(ctx context.Context, _ []string) error { return exits(a.superviseOne(ctx), nil) })}
}

// adapterCommand is how the QEMU adapter starts.
func (a *app) adapterCommand() *cobra.Command {
	return &cobra.Command{Use: adapterName, Hidden: true, DisableFlagParsing: true, Args: cobra.ArbitraryArgs,
		RunE: does(func(ctx context.Context, args []string) error { return exits(serveAdapter(ctx, args), nil) })}
}

// gatewayCommand is how the gateway of a workspace with a network starts.
func (a *app) gatewayCommand() *cobra.Command {
	return &cobra.Command{Use: gatewayName, Hidden: true,
		RunE: does(func(context.Context, []string) error { return exits(a.serveGateway(), nil) })}
}
