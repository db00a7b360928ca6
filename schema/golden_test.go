package schema

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"microagent/schema/diag"
)

// TestGolden loads the manifest of each testdata/*.txtar and compares what people are told with the file "text". The
// manifest is the file "microagent.yaml". UPDATE=1 rewrites the goldens.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no goldens: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			manifest := member(a, "microagent.yaml")
			m, list := Load("microagent.yaml", manifest, Options{})
			if (m == nil) != list.Errors() {
				t.Errorf("manifest nil: %v, errors: %v", m == nil, list.Errors())
			}
			inside(t, manifest, list)
			var text bytes.Buffer
			if err := list.WriteText(&text, 0); err != nil {
				t.Fatal(err)
			}
			if os.Getenv("UPDATE") != "" {
				a.Files = []txtar.File{{Name: "microagent.yaml", Data: manifest}, {Name: "text", Data: text.Bytes()}}
				if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if want := member(a, "text"); !bytes.Equal(text.Bytes(), want) {
				t.Errorf("got:\n%s\nwant:\n%s", text.Bytes(), want)
			}
		})
	}
}

func member(a *txtar.Archive, name string) []byte {
	for _, f := range a.Files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}

// inside checks that every diagnostic has a place in the manifest.
func inside(t *testing.T, manifest []byte, list *diag.List) {
	t.Helper()
	src := diag.NewSource(manifest)
	for _, d := range list.All() {
		if d.Pos.File == "" || d.Pos.Line < 1 || d.Pos.Line > src.Lines() || d.Pos.Col < 1 ||
			d.Pos.Col > len(src.Line(d.Pos.Line))+1 {
			t.Errorf("place %v is not in the manifest: %s", d.Pos, d.Summary)
		}
		if d.Code == "" || d.Code == "internal" || d.Summary == "" || strings.ContainsAny(d.Summary+d.Next, "\n\x1b") {
			t.Errorf("bad diagnostic: %+v", d)
		}
	}
}
