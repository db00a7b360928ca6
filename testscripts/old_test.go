package testscripts

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"
)

// older is the version whose state directories and running guests must stay usable.
const older = "f365b52"

// hasHistory says whether the older version can be built: a clone without history has it not.
func hasHistory() bool {
	return exec.Command("git", "-C", "..", "cat-file", "-e", older+"^{commit}").Run() == nil
}

// buildOlder FILE: builds the older version of the program, guest included.
func buildOlder(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1, "older FILE")
	tree := ts.MkAbs("older-tree")
	ts.Check(os.Mkdir(tree, 0o755))
	archive, err := exec.Command("git", "-C", "..", "archive", older).Output()
	ts.Check(err)
	unpack := exec.Command("tar", "-x", "-C", tree)
	unpack.Stdin = bytes.NewReader(archive)
	ts.Check(unpack.Run())
	for _, line := range [][]string{
		{"go", "generate", "./runtime/guest/payload"}, {"go", "build", "-o", ts.MkAbs(args[0]), "./cmd/microagent"},
	} {
		cmd := exec.Command(line[0], line[1:]...)
		cmd.Dir = tree
		if out, err := cmd.CombinedOutput(); err != nil {
			ts.Fatalf("%v: %v\n%s", line, err, out)
		}
	}
	ts.Check(os.RemoveAll(filepath.Clean(tree)))
}
