package testscripts

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// pureList is the line of testscripts/run that names what is tested without the race detector.
var pureList = regexp.MustCompile(`(?m)^pure="([^"]+)"$`)

// TestArchitectureSingle: what testscripts/run leaves the race detector out of starts no goroutine, has nothing that
// only those need, and rests on none of our packages that could; nor do its tests.
func TestArchitectureSingle(t *testing.T) {
	script, err := os.ReadFile("run")
	if err != nil {
		t.Fatal(err)
	}
	found := pureList.FindSubmatch(script)
	if found == nil {
		t.Fatal("testscripts/run has no list of what is pure")
	}
	packages := list(t, strings.Fields(string(found[1]))...)
	if len(packages) == 0 {
		t.Fatal("no packages are listed")
	}
	for _, p := range packages {
		for _, dep := range p.Deps {
			if ours, ok := strings.CutPrefix(dep, module); ok && !slices.ContainsFunc(packages, func(q listed) bool { return q.ImportPath == dep }) {
				t.Errorf("%s rests on %s, which is not listed", p.ImportPath, ours)
			}
		}
		for _, file := range slices.Concat(p.GoFiles, p.TestGoFiles, p.XTestGoFiles) {
			for _, what := range concurrent(t, filepath.Join(p.Dir, file)) {
				if p.ImportPath == module+"schema/pattern" && what == "imports sync" {
					continue // for what is the same whoever asks first
				}
				t.Errorf("%s/%s %s; testscripts/run tests it without the race detector", p.ImportPath, file, what)
			}
		}
	}
}

// concurrent lists what in a file is only of use to more than one goroutine.
func concurrent(t *testing.T, path string) (list []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, imp := range file.Imports {
		if name, _ := strconv.Unquote(imp.Path.Value); slices.Contains([]string{"sync", "sync/atomic", "net/http/httptest", "testing/synctest"}, name) {
			list = append(list, "imports "+name)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			list = append(list, "starts a goroutine")
		case *ast.SelectorExpr:
			if slices.Contains([]string{"Parallel", "RunParallel", "AfterFunc"}, n.Sel.Name) {
				list = append(list, "calls "+n.Sel.Name)
			}
		}
		return true
	})
	return list
}

// TestArchitectureSingleSees tries TestArchitectureSingle's eyes on a file that has all of it.
func TestArchitectureSingleSees(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.go")
	if err := os.WriteFile(path, []byte("package a\nimport (\"sync\"; \"time\")\nfunc f() { go f(); time.AfterFunc(1, f); t.Parallel(); sync.OnceFunc(f) }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := []string{"imports sync", "starts a goroutine", "calls AfterFunc", "calls Parallel"}
	if got := concurrent(t, path); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
