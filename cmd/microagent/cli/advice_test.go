package cli

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"microagent/cmd/microagent/cli/term"
	"microagent/testscripts/advice"
)

// noAdvice are texts that spell out a command and are followed by words of their own, each with why.
var noAdvice = map[string]string{
	"plan/render/summary.go": "the line that sums up what stays is a sentence in brackets; its goldens hold it",
}

// TestAdviceIsACommand holds every command that the program advises to the command line's own parser, with a name
// where one comes from the run.
func TestAdviceIsACommand(t *testing.T) {
	texts, err := advice.Find("../../..", commandWords())
	if err != nil {
		t.Fatal(err)
	}
	if len(texts) < 50 {
		t.Fatalf("found %d texts only", len(texts))
	}
	for _, text := range texts {
		file, _, _ := strings.Cut(text.Pos, ":")
		if noAdvice[file] != "" {
			continue
		}
		command, ok := text.Command()
		if !ok {
			t.Errorf("%s: advice is a command, or a reason, a colon and a command to the end; not %q", text.Pos, text.Text)
			continue
		}
		for _, one := range strings.Split(command, " && ") {
			for _, value := range sizes(strings.ReplaceAll(one, "NAME", "name")) {
				if err := parses(value); err != nil {
					t.Errorf("%s: %q: %v", text.Pos, value, err)
				}
			}
		}
	}
}

// The kinds of faults that the test is there for are found.
func TestAdviceFaults(t *testing.T) {
	for _, bad := range []string{"first microagent halt x", "microagent prune, or leave it", "see: microagent list; or not"} {
		if _, ok := (advice.Text{Text: bad}).Command(); ok {
			t.Errorf("%q passed", bad)
		}
	}
	for _, bad := range []string{"microagent halt", "microagent halt x ends it", "microagent volume create x --sizes 1", "microagent delete x y", "microagent nosuch", "microagent volume nosuch", "microagent volume grow x --size-mib many"} {
		if parses(bad) == nil {
			t.Errorf("%q parsed", bad)
		}
	}
}

// commandWords are the words behind microagent on a command line.
func commandWords() (words []string) {
	for _, c := range silent().root().Commands() {
		words = append(words, regexp.QuoteMeta(c.Name()))
	}
	return words
}

func silent() *app {
	return &app{Screen: &term.Screen{In: strings.NewReader(""), Out: &bytes.Buffer{}, Err: &bytes.Buffer{}, Getenv: func(string) string { return "" }}}
}

var sizeHole = regexp.MustCompile(`(--size(?:-mib)? )` + advice.Hole)

// sizes fills a command's holes: behind --size with a size, elsewhere with a name. A hole at the end of a command,
// without a blank before it, is what more there may be, such as a flag: it can be empty.
func sizes(command string) []string {
	command = sizeHole.ReplaceAllString(command, "${1}64")
	full := strings.ReplaceAll(strings.ReplaceAll(command, " "+advice.Hole+advice.Hole, " name"), advice.Hole, "name")
	return []string{strings.ReplaceAll(full, "--size 64", "--size 64MiB")}
}

// parses says whether the program takes the command line: its command, flags and number of arguments.
func parses(command string) error {
	root := silent().root()
	c, args, err := root.Find(strings.Fields(command)[1:])
	if err != nil {
		return err
	}
	switch err := c.ParseFlags(args); {
	case errors.Is(err, pflag.ErrHelp):
		return nil
	case err != nil:
		return err
	}
	if err := c.ValidateArgs(c.Flags().Args()); err != nil {
		return err
	}
	if c == root || c.HasSubCommands() {
		return fmt.Errorf("%s is no command by itself", c.CommandPath())
	}
	return nil
}
