package testscripts

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestArchitecturePage: every package has its place on the page that says where things are.
func TestArchitecturePage(t *testing.T) {
	page, err := os.ReadFile("../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list(t, "./...") {
		name := strings.TrimPrefix(p.ImportPath, module)
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("ARCHITECTURE.md does not name the package %s", name)
		}
	}
}

// TestArchitectureHowTo: what the pages tell people to open is there.
func TestArchitectureHowTo(t *testing.T) {
	file := regexp.MustCompile("`((?:schema|cmd|plan|apply|runtime|ch|examples|testscripts|\\.ci)/[^` *]+)`")
	for _, page := range []string{"../CONTRIBUTING.md", "../ARCHITECTURE.md", "../SECURITY.md", "../README.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		named := file.FindAllStringSubmatch(string(text), -1)
		if len(named) < 5 && page == "../CONTRIBUTING.md" {
			t.Errorf("%s names %d files", page, len(named))
		}
		for _, m := range named {
			if _, err := os.Stat("../" + m[1]); err != nil {
				t.Errorf("%s names %s: %v", page, m[1], err)
			}
		}
	}
}

// TestArchitectureExamples: who reads an example on a clean clone is told what makes its image.
func TestArchitectureExamples(t *testing.T) {
	manifests, err := filepath.Glob("../examples/*/microagent.yaml")
	if err != nil || len(manifests) < 5 {
		t.Fatalf("there are %d examples: %v", len(manifests), err)
	}
	for _, manifest := range manifests {
		dir := filepath.Dir(manifest)
		page, err := os.ReadFile(filepath.Join(dir, "README.md"))
		if err != nil {
			t.Error(err)
			continue
		}
		makes := regexp.MustCompile("go run \\./testscripts/mkimage (-\\S+ \\S+ )*examples/" + filepath.Base(dir) + "/image\\.tar|    \\./image ")
		if !makes.Match(page) {
			t.Errorf("%s/README.md does not say what makes image.tar", dir)
		}
	}
}
