package cli

import (
	"context"

	"github.com/spf13/cobra"
)

func (a *app) pending(use, short string) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, RunE: does(func(context.Context, []string) error { return notBuilt(use) })}
}

func (a *app) cpCommand() *cobra.Command { return a.pending("cp", "copy a file in or out") }
