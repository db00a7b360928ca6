package cli

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// globalFlags are understood by every command.
type globalFlags struct {
	dir      string
	file     string
	stateDir string
	json     bool
	vmm      string
	project  string
	progress string
	color    string
	verbose  bool
}

func (g *globalFlags) add(f *pflag.FlagSet) {
	f.StringVarP(&g.dir, "chdir", "C", "", "change to `DIR` first")
	f.StringVarP(&g.file, "file", "f", "", "the manifest (default microagent.yaml)")
	f.StringVar(&g.stateDir, "state-dir", "", "where objects are kept (default ~/.microagent, or MICROAGENT_STATE_DIR)")
	f.BoolVar(&g.json, "json", false, "write JSON for programs")
	f.StringVar(&g.vmm, "vmm", "", "auto, cloud-hypervisor or qemu (default auto, or MICROAGENT_VMM)")
	f.StringVarP(&g.project, "project", "p", "", "use `NAME` in the place of the manifest's project")
	f.StringVar(&g.progress, "progress", "auto", "auto, tty, plain, json or quiet")
	f.StringVar(&g.color, "color", "auto", "auto, always or never; NO_COLOR is honoured")
	f.BoolVarP(&g.verbose, "verbose", "v", false, "say more on stderr")
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
		{"--progress", g.progress, []string{"auto", "tty", "plain", "json", "quiet"}},
		{"--color", g.color, []string{"auto", "always", "never"}},
	} {
		if !slices.Contains(c.allowed, c.value) {
			return fmt.Errorf("%s is %q; it can be %s", c.name, c.value, joined(c.allowed))
		}
	}
	return nil
}
