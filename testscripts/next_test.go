package testscripts

import (
	"path"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// next COMMAND: the last command advised COMMAND, which a shell then runs exactly as it was printed. A * in COMMAND
// stands for what is not known beforehand, such as the name of a run's workspace. With ! it does not succeed there:
// it asks, or it finds what is missing. That every advice of the program is run like this is a test of the commands.
func next(ts *testscript.TestScript, neg bool, args []string) {
	want := strings.Join(args, " ")
	command := ""
	for _, line := range strings.Split(ts.ReadFile("stderr")+"\n"+ts.ReadFile("stdout"), "\n") {
		if i := strings.Index(line, ": microagent "); i >= 0 {
			line = line[i+2:]
		}
		line = strings.TrimPrefix(strings.TrimSpace(line), "-> ")
		if same, err := path.Match(strings.ReplaceAll(want, "/", "\x00"), strings.ReplaceAll(line, "/", "\x00")); err == nil && same {
			command = line
		}
	}
	if command == "" {
		ts.Fatalf("no advice is %q:\n%s%s", want, ts.ReadFile("stderr"), ts.ReadFile("stdout"))
	}
	err := ts.Exec("sh", "-c", command)
	if (err != nil) != neg {
		ts.Fatalf("%s: %v\n%s", command, err, ts.ReadFile("stderr"))
	}
}
