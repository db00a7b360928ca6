package testscripts

import (
	"os"
	"path/filepath"

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
