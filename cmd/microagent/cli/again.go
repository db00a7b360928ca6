package cli

import (
	"slices"

	"al.essio.dev/pkg/shellescape"
	"github.com/spf13/pflag"
)

// howItLooks are flags that change what is shown or asked and not what is done.
var howItLooks = []string{"json", "progress", "color", "verbose", "yes"}

// commandAgain is the command line that does the same as this one without asking, ready for a shell.
func (a *app) commandAgain() string {
	list := []string{"microagent"}
	flags := func(set *pflag.FlagSet) {
		set.VisitAll(func(f *pflag.Flag) {
			if !f.Changed || slices.Contains(howItLooks, f.Name) {
				return
			}
			name := "--" + f.Name
			if f.Shorthand != "" {
				name = "-" + f.Shorthand
			}
			switch v := f.Value.(type) {
			case pflag.SliceValue:
				for _, one := range v.GetSlice() {
					list = append(list, name, one)
				}
			default:
				if f.Value.Type() == "bool" {
					list = append(list, "--"+f.Name+map[string]string{"true": "", "false": "=false"}[f.Value.String()])
					return
				}
				list = append(list, name, f.Value.String())
			}
		})
	}
	flags(a.command.Root().PersistentFlags())
	list = append(list, a.command.Name())
	flags(a.command.LocalNonPersistentFlags())
	return shellescape.QuoteCommand(append(append(list, a.command.Flags().Args()...), "--yes"))
}
