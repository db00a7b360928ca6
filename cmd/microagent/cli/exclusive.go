package cli

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// exclusiveNote is cobra's annotation of a flag: the groups of which one can be given, each as its flags' names.
const exclusiveNote = "cobra_annotation_mutually_exclusive"

// checkExclusive refuses flags that exclude each other: cobra does so too, but once the command line counts as understood.
func checkExclusive(cmd *cobra.Command) (err error) {
	given := map[string]string{} // flag, by group
	cmd.Flags().Visit(func(f *pflag.Flag) {
		for _, group := range f.Annotations[exclusiveNote] {
			if other, ok := given[group]; ok && err == nil {
				err = fmt.Errorf("--%s and --%s exclude each other", other, f.Name)
			}
			given[group] = f.Name
		}
	})
	return err
}
