package cli

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"microagent/schema"
)

func (a *app) schemaCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use: "schema", Short: "print the manifest's schema",
		Long: "Prints the description of the manifest's format: as CUE, which is what validate reads, or as JSON Schema\n" +
			"for an editor's YAML language server, which finds it by the manifest's first line:\n\n" +
			"  # yaml-language-server: $schema=./microagent.schema.json",
		Example:     "  microagent schema --format=jsonschema > microagent.schema.json",
		Annotations: exitsWith(ExitOK, ExitUsage),
		RunE: does(func(context.Context, []string) error {
			if a.JSON && format == "" {
				format = "jsonschema"
			}
			switch format {
			case "", "cue":
				_, err := io.WriteString(a.Out, schema.Source())
				return err
			case "jsonschema":
				return a.jsonSchema()
			}
			return usagef("microagent schema", "--format is %q; it can be cue or jsonschema", format)
		}),
	}
	cmd.Flags().StringVar(&format, "format", "", "cue or jsonschema (default cue, and jsonschema with --json)")
	return cmd
}
