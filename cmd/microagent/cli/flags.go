package cli

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"microagent/cmd/microagent/cli/term"
	"microagent/schema/quantity"
)

// globalFlags are understood by every command.
type globalFlags struct {
	dir      string
	file     string
	stateDir string
	vmm      string
	project  string
	screen   *term.Screen // whose flags are among them
}

func (g *globalFlags) add(f *pflag.FlagSet) {
	f.StringVarP(&g.dir, "chdir", "C", "", "change to `DIR` first")
	f.VarP((*oneManifest)(&g.file), "file", "f", "the manifest `FILE` (default microagent.yaml)")
	f.StringVar(&g.stateDir, "state-dir", "", "where objects are kept (default ~/.microagent, or MICROAGENT_STATE_DIR)")
	f.BoolVar(&g.screen.JSON, "json", false, "write JSON for programs")
	f.StringVar(&g.vmm, "vmm", "", "auto, cloud-hypervisor or qemu (default auto, or MICROAGENT_VMM)")
	f.StringVar(&g.project, "project", "", "use `NAME` in the place of the manifest's project")
	f.StringVar(&g.screen.Progress, "progress", "auto", "auto, tty, plain, json or quiet")
	f.StringVar(&g.screen.Color, "color", "auto", "auto, always or never; NO_COLOR is honoured")
	f.BoolVarP(&g.screen.Verbose, "verbose", "v", false, "say more on stderr")
}

// shadow takes the global flags' short names away from cmd, which wants them for flags of its own. The long
// names stay.
func (g *globalFlags) shadow(cmd *cobra.Command, names ...string) {
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	g.add(all)
	for _, name := range names {
		f := all.Lookup(name)
		f.Shorthand = ""
		cmd.Flags().AddFlag(f)
	}
}

// oneManifest is the value of -f: a second one is refused, since the first would count for nothing.
type oneManifest string

func (m *oneManifest) String() string { return string(*m) }
func (m *oneManifest) Type() string   { return "string" }

func (m *oneManifest) Set(file string) error {
	if *m != "" && file != "" {
		return fmt.Errorf("one manifest at a time, and there is %s already", *m)
	}
	*m = oneManifest(file)
	return nil
}

func (g *globalFlags) check(getenv func(string) string) error {
	if g.vmm == "" {
		g.vmm = getenv("MICROAGENT_VMM")
	}
	if g.vmm == "" {
		g.vmm = "auto"
	}
	for _, c := range []struct {
		name, value string
		allowed     []string
	}{
		{"--vmm", g.vmm, []string{"auto", "cloud-hypervisor", "qemu"}},
		{"--progress", g.screen.Progress, []string{"auto", "tty", "plain", "json", "quiet"}},
		{"--color", g.screen.Color, []string{"auto", "always", "never"}},
	} {
		if !slices.Contains(c.allowed, c.value) {
			return fmt.Errorf("%s is %q; it can be %s", c.name, c.value, joined(c.allowed))
		}
	}
	return g.checkProject()
}

// checkProject refuses what is no project's name.
func (g *globalFlags) checkProject() error {
	if g.project == "" {
		return nil
	}
	if _, err := quantity.ParseName(g.project); err != nil {
		return fmt.Errorf("--project: %w", err)
	}
	return nil
}
