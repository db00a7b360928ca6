package cli

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"microagent/cmd/microagent/cli/term"
	"microagent/testscripts/advice"
)

// noAdvice are texts that spell out a command and are followed by words of their own, each with why.
var noAdvice = map[string]string{
	"cmd/microagent/cli/version.go": "what version prints is no advice",
	"plan/render/summary.go":        "the line that sums up what stays is a sentence in brackets; its goldens hold it",
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

// everyday are commands whose words are English of every day.
var everyday = []string{"run", "list", "show", "wait", "status", "image", "volume", "output", "logs", "cp", "version", "schema", "storage", "help", "get", "rm", "install", "check"}

// inProse is advice that names a command in words, each with why it is no command.
var inProse = map[string]string{
	"name an ext4 image file, or attach the device yourself: run --disk or create --disk": "which of the two is the user's to say, with all else of it",
	"declare one of them desired: stopped, apply, and take that out again":                "the manifest is edited before and after",
	"pull the image again": "what is broken is known by its digest alone",
}

// TestAdviceInProse holds advice that only names a command to being a command, or on a list.
func TestAdviceInProse(t *testing.T) {
	var words []string
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			walk(sub)
		}
		if !c.HasSubCommands() && !slices.Contains(everyday, c.Name()) {
			words = append(words, regexp.QuoteMeta(c.Name()))
		}
	}
	walk(silent().root())
	texts, err := advice.Prose("../../..", words)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, text := range texts {
		if seen[text.Text] = true; inProse[text.Text] == "" {
			t.Errorf("%s: %q names a command: spell it out, or list it with why not", text.Pos, text.Text)
		}
	}
	for text := range inProse {
		if !seen[text] {
			t.Errorf("%q is advised no more: take it off the list", text)
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
	if strings.HasSuffix(c.Use, " WORKSPACE...") && c.Flags().NArg() > 1 {
		return fmt.Errorf("advice is on one workspace, and behind its name stands %q", c.Flags().Arg(1))
	}
	if c == root || c.HasSubCommands() {
		return fmt.Errorf("%s is no command by itself", c.CommandPath())
	}
	return nil
}

// unrun are commands that are advised and that no script runs as advice, each with why.
var unrun = map[string]string{
	"microagent apply --allow-data-loss=\x00":                           "follows a disk that is full while a root file system is to be kept: kept runs the flag",
	"microagent reset \x00 --yes --allow-data-loss=workspace/\x00":      "follows a disk that is full while a root file system is to be kept: kept runs the flag of delete",
	"microagent destroy --project \x00 --allow-data-loss=\x00":          "follows a disk that is full while a root file system is to be kept: kept runs the flag",
	"microagent exec -it NAME -- sh":                                    "needs a terminal: exec_pty runs the same command on one",
	"microagent forward NAME 8080":                                      "goes on until it is interrupted: ports runs it in the background",
	"microagent forward \x00 \x00":                                      "goes on until it is interrupted: ports runs forward in the background",
	"microagent logs -f \x00":                                           "goes on until the workspace ends: halt_delete runs logs -f in the background",
	"microagent logs -f NAME":                                           "goes on until the workspace ends: halt_delete runs it in the background",
	"microagent wait --job \x00 \x00":                                   "goes on until the job ends: jobs runs the same command",
	"microagent image pull NAME":                                        "needs a registry of the name that was typed: image_offline pulls from one",
	"microagent kernel install":                                         "fetches packages from the distribution's servers",
	"microagent cp -r \x00 ./\x00":                                      "follows an output that was there and could not be collected: advice runs the same command",
	"microagent image import \x00":                                      "follows an image that went away between plan and apply",
	"microagent kernel list":                                            "follows a kernel that went away while it was used",
	"microagent run \x00 sh":                                            "needs an image without a command, which mkimage doesn't make; apply's tests hold the text",
	"microagent output list \x00":                                       "follows outputs that could not be written and a kept workspace",
	"microagent prune --yes":                                            "follows a cache with disks that nothing uses",
	"microagent wait \x00":                                              "follows a task that writes a volume which is to move: page runs the command",
	"microagent volume unprotect \x00 && microagent volume delete \x00": "a plan says so of a protected volume: advice runs the one, fault_records and others the other",
	"microagent volume create \x00 --size 512MiB":                       "is for records of before volumes had identities",
}

// TestAdviceIsRun holds every command that is advised against what scripts run as advice, by "next COMMAND": a new one
// needs a script that meets it and runs it as printed.
func TestAdviceIsRun(t *testing.T) {
	texts, err := advice.Find("../../..", commandWords())
	if err != nil {
		t.Fatal(err)
	}
	run, err := advice.Run("../../../testscripts/testdata")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, text := range texts {
		command, ok := text.Command()
		if !ok {
			continue // told by the other test
		}
		pattern := advice.Pattern(command)
		switch ran := slices.ContainsFunc(run, pattern.MatchString); {
		case ran && unrun[command] != "":
			t.Errorf("%s: %q is run by a script: take it off the list", text.Pos, command)
		case !ran && unrun[command] == "":
			t.Errorf("%s: no script runs the advice %q: meet it in one and write below: next %s", text.Pos, command, command)
		}
		seen[command] = true
	}
	for command := range unrun {
		if !seen[command] {
			t.Errorf("%q is advised no more: take it off the list", command)
		}
	}
}

// A word of another tool that became a command of ours leads nowhere.
func TestPointersAreNoCommands(t *testing.T) {
	for _, c := range silent().root().Commands() {
		for _, word := range append(c.Aliases, c.Name()) {
			if _, ok := commandPointers[word]; ok {
				t.Errorf("%q is a command", word)
			}
		}
	}
}

// So does a flag of another tool that became one of ours.
func TestPointersAreNoFlags(t *testing.T) {
	check := func(command, name string) {
		t.Helper()
		c, _, err := silent().root().Find([]string{command})
		if err != nil || c.Name() == "microagent" {
			t.Errorf("%q is no command", command)
			return
		}
		c.InheritedFlags() // which adds them to the command's own
		if c.Flags().Lookup(name) != nil || len(name) == 1 && c.Flags().ShorthandLookup(name) != nil {
			t.Errorf("%s has the flag %q", command, name)
		}
	}
	for name := range runFlagPointers {
		check("run", name)
	}
	for name := range flagPointers {
		command, flag, _ := strings.Cut(name, " ")
		check(command, flag)
	}
}
