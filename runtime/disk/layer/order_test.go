package layer

import (
	"archive/tar"
	"fmt"
	"strings"
	"testing"
)

// A hard link is to what its own layer has at the target, wherever in the layer that comes.
func TestHardLinksInAnyOrder(t *testing.T) {
	link := func(name, target string) item { return named(tar.TypeLink, name, target) }
	for name, c := range map[string]struct {
		lower, upper []item
		want         string
	}{
		"before":           {[]item{reg("z", "old")}, []item{link("a", "z"), reg("z", "new")}, "a=new z=new"},
		"after":            {[]item{reg("z", "old")}, []item{reg("z", "new"), link("a", "z")}, "a=new z=new"},
		"between":          {[]item{reg("z", "old")}, []item{reg("z", "1"), link("a", "z"), reg("z", "2")}, "a=1 z=2"},
		"to lower":         {[]item{reg("z", "old")}, []item{link("a", "z")}, "a=old z=old"},
		"chain":            {[]item{reg("z", "old")}, []item{link("a", "z"), link("b", "a"), reg("z", "new")}, "a=new b=new z=new"},
		"chain backwards":  {[]item{reg("z", "old"), reg("a", "old")}, []item{link("b", "a"), link("a", "z"), reg("z", "new")}, "a=new b=new z=new"},
		"to a later link":  {[]item{reg("z", "old")}, []item{link("a", "z"), link("z", "y"), reg("y", "new")}, "a=new y=new z=new"},
		"replaced":         {[]item{reg("z", "old")}, []item{link("a", "z"), reg("a", "own"), reg("z", "new")}, "a=own z=new"},
		"hidden by opaque": {[]item{reg("d/z", "old")}, []item{link("a", "d/z"), dir("d/"), reg("d/.wh..wh..opq", ""), reg("d/z", "new")}, "a=new d/ d/z=new"},
		"in a circle":      {[]item{reg("a", "1"), reg("b", "2")}, []item{link("a", "b"), link("b", "a")}, "a=2 b=2"},
	} {
		t.Run(name, func(t *testing.T) {
			x, err := apply(t, Limits{}, pack(t, c.lower...), pack(t, c.upper...))
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(paths(t, x), " "); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// What aufs keeps aside is the content of hard links, and is not seen itself.
func TestAufsLinks(t *testing.T) {
	x, err := apply(t, Limits{},
		pack(t, dir(".wh..wh.plnk"), reg(".wh..wh.plnk/123.456", "hello"), named(tar.TypeLink, "usr/bin/a", ".wh..wh.plnk/123.456"),
			named(tar.TypeLink, "usr/bin/b", "/.wh..wh.plnk/123.456"), reg(".wh..wh.plnk/7.8", "unused")),
		pack(t, named(tar.TypeLink, "c", ".wh..wh.plnk/9.9"), reg(".wh..wh.plnk/9.9", "again")))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(paths(t, x), " "), "c=again usr/ usr/bin/ usr/bin/a=hello usr/bin/b=hello"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Whiteouts hide what lower layers said of a directory, its owner, mode and attributes too, before what the layer has
// below it or after.
func TestWhiteoutsInAnyOrder(t *testing.T) {
	owned := func(name string, mode int64, id int) item {
		return item{tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: mode, Uid: id, Gid: id, Format: tar.FormatPAX,
			PAXRecords: map[string]string{"SCHILY.xattr.user.low": "1"}}, ""}
	}
	lower := pack(t, owned("+x/", 0o2770, 7), owned("+x/keep/", 0o700, 9), reg("+x/keep/old", "1"))
	for _, c := range []struct {
		mark   item
		hidden []string
	}{
		{reg(".wh.+x", ""), []string{"+x", "+x/keep"}},
		{reg("+x/.wh..wh..opq", ""), []string{"+x/keep"}},
	} {
		content := reg("+x/keep/new", "2")
		for order, upper := range [][]item{{c.mark, content}, {content, c.mark}} {
			x, err := apply(t, Limits{}, lower, pack(t, upper...))
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(paths(t, x), " "); got != "+x/ +x/keep/ +x/keep/new=2" {
				t.Errorf("%s, order %d: %s", c.mark.Name, order, got)
			}
			for _, path := range c.hidden {
				n, err := x.Resolve(path, false)
				if err != nil {
					t.Fatal(err)
				}
				attrs, err := x.Xattrs(n)
				if got := fmt.Sprintf("%o %d:%d %d", n.Mode, n.UID, n.GID, len(attrs)); err != nil || got != "40755 0:0 0" {
					t.Errorf("%s, order %d: %s is %s, %v", c.mark.Name, order, path, got, err)
				}
			}
		}
	}
}

// roots are layers that are root file systems.
type roots struct{ memory }

func (roots) Whiteouts(int) bool { return false }

// In a root file system a name like a whiteout is a name, before what a whiteout of that name would hide and behind it.
func TestRootFileSystemHasNoWhiteouts(t *testing.T) {
	x, err := buildLayers(t, Limits{}, roots{memory{pack(t, reg("d/a", "1"), reg("d/.wh.a", "2"), reg("d/.wh..wh..opq", "3"), reg(".wh.", "4"),
		dir(".wh..wh.plnk"), reg(".wh..wh.plnk/1.2", "5"), named(tar.TypeLink, "b", ".wh..wh.plnk/1.2"), reg("d/z", "6"))}})
	if err != nil {
		t.Fatal(err)
	}
	want := ".wh..wh.plnk/ .wh..wh.plnk/1.2=5 .wh.=4 b=5 d/ d/.wh..wh..opq=3 d/.wh.a=2 d/a=1 d/z=6"
	if got := strings.Join(paths(t, x), " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
