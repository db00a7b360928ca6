package folder

import (
	"errors"
	"strings"
	"testing"

	"microagent/runtime/driver"
)

// Outputs that are harmless alone may make what git takes for a repository together, or with what is there.
func TestOutputsMakeNoGitFolderTogether(t *testing.T) {
	for _, c := range []struct {
		there, outputs string
		refused        bool
	}{
		{"", "x/HEAD x/objects x/refs", true},
		{"", "x/HEAD x/objects/o x/refs/r/r", true},
		{"", "x/HEAD x/commondir", true},
		{"mkdir -p x/objects; touch x/HEAD", "x/refs/heads", true},
		{"mkdir -p x/objects x/refs", "x/HEAD", true},
		{"", "HEAD objects refs", true},
		{"", "x/objects x/refs x/config", false},
		{"", "x/HEAD y/objects x/refs", false},
		{"mkdir -p x/objects", "x/HEAD x/config", false},
	} {
		dir := t.TempDir()
		shell(t, dir, c.there)
		f := open(t, dir)
		var list []Claim
		for name := range strings.FieldsSeq(c.outputs) {
			list = append(list, Claim{What: "output " + name, Path: name, Output: true})
		}
		f.Claim(list)
		var refused error
		for _, claim := range list {
			if _, err := f.Target(claim.Path); err != nil {
				refused = err
			}
		}
		made, ok := errors.AsType[*GitError](refused)
		if ok != c.refused || ok && !(made.Made && errors.Is(refused, driver.ErrRefused)) {
			t.Errorf("%q, then %s: %v", c.there, c.outputs, refused)
		}
	}
}

func TestOutputsKeepOffWhatIsClaimed(t *testing.T) {
	dir, _ := lay(t)
	shell(t, dir, `mkdir -p src/sub src/build img/blobs out real d1; echo m > microagent.yaml; echo d > disk
		ln microagent.yaml alias.yaml; ln disk d1/twin; ln -s src source; ln -s real/later later; ln -s microagent.yaml named.yaml`)
	f := open(t, dir)
	f.Claim([]Claim{
		{What: "the manifest", Path: "named.yaml"},
		{What: "the source of bundle src", Path: "source", Exclude: []string{"build"}},
		{What: "disk data", Path: "disk"},
		{What: "image img", Path: "img"},
		{What: "output one", Path: "out/one", Output: true},
		{What: "output deep", Path: "new/deep/er", Output: true},
		{What: "output two", Path: "./out/../out/two", Output: true},
		{What: "the source of bundle later", Path: "later"},
		{What: "disk outside", Path: "escape"},
	})
	for name, want := range map[string]string{
		"microagent.yaml":    "is the manifest",
		"alias.yaml":         "is the manifest",
		"src":                "is the source of bundle src",
		"src/x":              "lies inside the source of bundle src",
		"src/sub/a/b":        "lies inside the source of bundle src",
		"d1/twin":            "is disk data",
		"d1":                 "",
		"img/blobs/x":        "lies inside image img",
		"src/build/x":        "",
		"src/sub/build":      "",
		"out/one":            "",
		"out/one/x":          "lies inside output one",
		"out/two/x":          "lies inside output two",
		"new/deep/er":        "",
		"new/deep/er/x":      "lies inside output deep",
		"new/deep/other":     "",
		"out":                "would replace ",
		"real":               "would replace the source of bundle later",
		"real/later":         "is the source of bundle later",
		"real/later/x":       "lies inside the source of bundle later",
		"out/onerous":        "",
		"new/deep":           "",
		"microagent.yaml.in": "",
	} {
		_, err := f.Target(name)
		var conflict *ConflictError
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case want != "" && (!errors.As(err, &conflict) || !errors.Is(err, driver.ErrRefused) || driver.Next(err) == ""):
			t.Errorf("%s: %v", name, err)
		case want != "" && want[len(want)-1] != ' ' && conflict.How+" "+conflict.What != want:
			t.Errorf("%s: %v", name, err)
		}
	}
}
