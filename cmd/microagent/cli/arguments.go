package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// words are a command's arguments as its usage line has them: upper-case words, [WORD] for one that may be missing, and
// dots behind one that may be repeated. A flag in the line and its value are none.
type words struct {
	required []string
	optional []string
	more     bool
}

func wordsOf(use string) words {
	var w words
	list := strings.Fields(use)[1:]
	for i := 0; i < len(list); i++ {
		word, optional := strings.CutPrefix(list[i], "[")
		if optional {
			word = strings.TrimSuffix(word, "]")
		}
		word, repeated := strings.CutSuffix(word, "...")
		switch {
		case strings.HasPrefix(word, "-"):
			if !optional {
				i++ // its value
			}
			continue
		case word != strings.ToUpper(word):
			continue
		case optional:
			w.optional = append(w.optional, word)
		default:
			w.required = append(w.required, word)
		}
		w.more = w.more || repeated
	}
	return w
}

// check holds arguments to the words, and names the one that is missing or too much.
func (w words) check(cmd *cobra.Command, args []string) error {
	most := len(w.required) + len(w.optional)
	switch {
	case len(args) == 0 && len(w.required) > 0:
		if f := cmd.Flag("file"); f != nil && f.Changed {
			return fmt.Errorf("%s needs %s, and %q is the manifest, which --file or -f names", cmd.CommandPath(), joined(w.required), f.Value)
		}
		return fmt.Errorf("%s needs %s", cmd.CommandPath(), joined(w.required))
	case len(args) < len(w.required):
		return fmt.Errorf("%s needs %s, and %s is missing", cmd.CommandPath(), joined(w.required), joined(w.required[len(args):]))
	case w.more || len(args) <= most:
		return nil
	case most == 0:
		return fmt.Errorf("%s takes no argument, and there is %q", cmd.CommandPath(), args[0])
	}
	return fmt.Errorf("%s takes %s, and there is %q as well", cmd.CommandPath(), joined(append(w.required, w.optional...)), args[most])
}

// checkArguments gives each command below cmd that has no check of its own the one that its usage line describes, and the
// completion of the names in it.
func (a *app) checkArguments(cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		a.checkArguments(c)
		if c.Args == nil {
			c.Args = wordsOf(c.Use).check
		}
		if c.ValidArgsFunction == nil && len(c.ValidArgs) == 0 && c.Runnable() && !c.HasSubCommands() {
			c.ValidArgsFunction = a.completeWords(wordsOf(c.Use))
		}
	}
}
