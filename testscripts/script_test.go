// Package testscripts runs the program as its users do: scripts in testdata call it as a real process, with a state
// directory of their own, and boot real guests. The package also checks the tree's own rules.
package testscripts

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"microagent/cmd/microagent/cli"
	"microagent/testscripts/image"
	"microagent/testscripts/lane"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"microagent": func() { os.Exit(cli.Program{Guest: guest, Outside: outside}.Main(os.Args[1:]...)) },
		"mkimage":    func() { os.Exit(image.Main(os.Args[1:], os.Stderr)) },
	})
}

// TestScripts runs testdata/*.txtar. UPDATE=1 rewrites what cmp compares with inside of the scripts.
func TestScripts(t *testing.T) {
	lane.Guest(t)
	if signal.Ignored(syscall.SIGHUP) { // below nohup; a script that hangs up needs programs that hear it
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	}
	cleanup, err := buildGuest()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cleanup)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		Setup:               setup,
		Cmds:                commands,
		Condition:           condition,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE") != "",
	})
}

// setup gives a script a home and a state directory of its own. $EXAMPLES is the tree's examples folder.
func setup(env *testscript.Env) error {
	home := filepath.Join(env.WorkDir, "home")
	state := filepath.Join(env.WorkDir, "state")
	if err := os.Mkdir(home, 0o755); err != nil {
		return err
	}
	examples, err := filepath.Abs("../examples")
	if err != nil {
		return err
	}
	for _, v := range [][2]string{
		{"HOME", home}, {"XDG_CONFIG_HOME", filepath.Join(home, ".config")}, {"MICROAGENT_STATE_DIR", state},
		{"STATE", state}, {"EXAMPLES", examples}, {"NO_COLOR", "1"}, {"TERM", "dumb"}, {"TZ", "UTC"}, {"LC_ALL", "C.UTF-8"},
		{"MICROAGENT_VMM", os.Getenv("MICROAGENT_VMM")}, {guestDir, os.Getenv(guestDir)},
		{"MICROAGENT_CLOUD_HYPERVISOR", os.Getenv("MICROAGENT_CLOUD_HYPERVISOR")},
	} {
		env.Setenv(v[0], v[1])
	}
	env.Defer(func() { killBelow(env.WorkDir) })
	return nil
}

// condition is what scripts ask besides testscript's own conditions.
func condition(what string) (bool, error) {
	switch what {
	case "root":
		return os.Geteuid() == 0, nil
	case "loop":
		return exec.Command("losetup", "-f").Run() == nil && os.Geteuid() == 0, nil
	case "all":
		return lane.All(), nil
	case "resizes":
		return resizes()
	case "history":
		return hasHistory(), nil
	case "postgres":
		_, err := os.Stat("../examples/postgres/image.tar")
		return err == nil, nil
	}
	return false, fmt.Errorf("unknown condition %q", what)
}
