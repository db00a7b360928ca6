package cli

import (
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"microagent/runtime/layout"
)

// lossFlag is --allow-data-loss: the objects, as addresses, that may lose what is in them.
type lossFlag []string

func (l *lossFlag) add(f *pflag.FlagSet, of string) {
	f.StringArrayVar((*[]string)(l), "allow-data-loss", nil, "let `ADDRESS` lose what can't be kept of it: "+of)
}

// check refuses what is no address of those kinds.
func (l *lossFlag) check(command string, kinds ...string) error {
	for _, address := range *l {
		kind, name, _ := strings.Cut(address, "/")
		if !slices.Contains(kinds, kind) || !layout.ValidName(name) {
			return usagef(command, "--allow-data-loss takes %s/NAME, and there is %q", strings.Join(kinds, "/NAME or "), address)
		}
	}
	return nil
}
