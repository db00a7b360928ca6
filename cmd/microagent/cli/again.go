package cli

import (
	"fmt"
	"slices"
	"strings"

	"al.essio.dev/pkg/shellescape"
	"github.com/spf13/pflag"

	"microagent/schema/pattern"
)

// commandIn finds the commands that a text advises, by the forms that ours have: a line's whole, or what is behind its
// colon, an arrow or a bracket.
var commandIn = pattern.Of(`(?m)((?:^ *|-> |: |&& |\()microagent) ([a-z]+)`)

// reaching is advice for the world that this command saw: each command in it has the global flags with which this one
// found what it speaks of. Those of a manifest go to the commands that read one; others are given whole names.
func (a *app) reaching(text string) string {
	if a.command == nil || strings.HasSuffix(text, " --help") {
		return text
	}
	return commandIn().ReplaceAllStringFunc(text, func(found string) string {
		m := commandIn().FindStringSubmatch(found)
		advised, _, err := a.command.Root().Find(m[2:])
		if err != nil {
			return found
		}
		var words []string
		for _, f := range []struct {
			name, value string
			manifests   bool
		}{{"-C", a.flags.dir, false}, {"-f", a.flags.file, true}, {"--project", a.flags.project, true}, {"--state-dir", a.flags.stateDir, false}, {"--vmm", a.vmmFlag(), false}} {
			if f.value != "" && (advised.GroupID == groupManifest || !f.manifests) {
				words = append(words, f.name, f.value)
			}
		}
		if len(words) == 0 {
			return found
		}
		return m[1] + " " + shellescape.QuoteCommand(words) + " " + m[2]
	})
}

// vmmFlag is the value of --vmm, "" when it was not given.
func (a *app) vmmFlag() string {
	if f := a.command.Root().PersistentFlags().Lookup("vmm"); f != nil && f.Changed {
		return f.Value.String()
	}
	return ""
}

// Say writes a line for people to stderr. What it advises is for the world that this command saw.
func (a *app) Say(format string, args ...any) {
	a.Screen.Say("%s", a.reaching(fmt.Sprintf(format, args...)))
}

// howItLooks are flags that change what is shown or asked and not what is done.
var howItLooks = []string{"json", "progress", "color", "verbose", "yes"}

// commandAgain is the command line that does the same as this one without asking, ready for a shell.
func (a *app) commandAgain() string { return shellescape.QuoteCommand(append(a.words(), "--yes")) }

// commandInHand is this command line, without what only changes how it looks.
func (a *app) commandInHand() string {
	words := a.words()
	if yes := a.command.Flags().Lookup("yes"); yes != nil && yes.Changed {
		words = append(words, "--yes")
	}
	return shellescape.QuoteCommand(words)
}

// words are those of commandAgain, without the last.
func (a *app) words() []string {
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
	return append(list, a.command.Flags().Args()...)
}
