package initd

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

func TestMachineID(t *testing.T) {
	const images = "0123456789abcdef0123456789abcdef\n"
	id := regexp.MustCompile(`^[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}\n$`)
	seen := map[string]bool{}
	for _, c := range []struct {
		name, content string
		fresh, given  bool
	}{
		{"of an image", images, true, true},
		{"of another workspace of it", images, true, true},
		{"empty", "", true, true},
		{"to come", "uninitialized\n", true, true},
		{"empty after a boot that was cut short", "", false, true},
		{"the guest's own", images, false, false},
	} {
		path := filepath.Join(t.TempDir(), "machine-id")
		if err := os.WriteFile(path, []byte(c.content), 0o444); err != nil {
			t.Fatal(err)
		}
		if err := (machineID{path, c.fresh}).Do(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(data); !c.given && got != c.content || c.given && (!id.MatchString(got) || seen[got]) {
			t.Errorf("%s: %q", c.name, got)
		} else {
			seen[got] = true
		}
	}
}

func TestMachineIDOfAnImageWithoutOne(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink("target", link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{link, filepath.Join(dir, "none")} {
		if err := (machineID{path, true}).Do(); err != nil {
			t.Error(err)
		}
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
		t.Errorf("made: %v, %v", list, err)
	}
}
