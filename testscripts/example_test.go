package testscripts

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// example NAME [FLAG...]: copies an example into the script's folder, without what a run of it left, and makes its image
// with mkimage's flags.
func example(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1, "example NAME [FLAG...]")
	to := ts.MkAbs(args[0])
	ts.Check(os.CopyFS(to, os.DirFS(filepath.Join(ts.Getenv("EXAMPLES"), args[0]))))
	ts.Check(os.RemoveAll(filepath.Join(to, "out")))
	ts.Check(os.RemoveAll(filepath.Join(to, "image.tar")))
	ts.Check(ts.Exec("mkimage", append(args[1:], filepath.Join(to, "image.tar"))...))
}

var stillAtIt = regexp.MustCompile(`(?m)^.*: still at it after .*\n`)

// told WANT: what the command before wrote to standard error is what the file holds, normalized and sorted: what waits for
// nothing of another is done in any order.
func told(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1, "told WANT")
	said := stillAtIt.ReplaceAllString(normalized(ts, "stderr"), "")
	got := slices.Sorted(strings.Lines(said))
	want := slices.Sorted(strings.Lines(ts.ReadFile(args[0])))
	if !slices.Equal(got, want) {
		ts.Fatalf("it said\n%swant\n%s", strings.Join(got, ""), strings.Join(want, ""))
	}
}
