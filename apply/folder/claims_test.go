package folder

import (
	"errors"
	"testing"

	"microagent/runtime/driver"
)

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
