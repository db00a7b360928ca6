package schema

import (
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// FuzzLoad checks that no input makes the loader panic, that a manifest comes back exactly when there is no error,
// that every place lies inside the file, and that loading twice tells the same.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(member(a, "microagent.yaml"))
	}
	for _, text := range []string{"", "\x00", "\xff\xfe", "a: &a [*a]", "&a {<<: *a}", "? &a [*a]\n: x", "<<: {<<: {}}",
		"project: p\r\nvolumes:\r  a: {}\u2028b: 1", "--- !!map\n{}\n...\n--- x", "%YAML 1.2\n---\n{}", "*a : b", "a: !!binary x"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, list := Load("m.yaml", data, Options{})
		if (m == nil) != list.Errors() {
			t.Fatalf("manifest nil: %v, errors: %v", m == nil, list.Errors())
		}
		inside(t, data, list)
		again, twice := Load("m.yaml", data, Options{})
		if (m == nil) != (again == nil) || len(list.All()) != len(twice.All()) {
			t.Fatal("a second load tells something else")
		}
	})
}
