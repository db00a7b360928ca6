package testscripts

import (
	"bytes"
	"errors"
	"fmt"
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
	ts.Check(makeOlder(ts.MkAbs("older-tree"), ts.MkAbs(args[0])))
}

// makeOlder builds the older version in a folder that it makes, and removes.
func makeOlder(tree, to string) error {
	if err := os.Mkdir(tree, 0o755); err != nil {
		return err
	}
	archive, err := exec.Command("git", "-C", "..", "archive", older).Output()
	if err != nil {
		return err
	}
	unpack := exec.Command("tar", "-x", "-C", tree)
	unpack.Stdin = bytes.NewReader(archive)
	if err := unpack.Run(); err != nil {
		return err
	}
	return errors.Join(makeProgram(tree, to), os.RemoveAll(filepath.Clean(tree)))
}

// makeProgram builds the program of a tree, guest included.
func makeProgram(tree, to string) error {
	for _, line := range [][]string{
		{"go", "generate", "./runtime/guest/payload"}, {"go", "build", "-o", to, "./cmd/microagent"},
	} {
		cmd := exec.Command(line[0], line[1:]...)
		cmd.Dir = tree
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w\n%s", line, err, out)
		}
	}
	return nil
}
