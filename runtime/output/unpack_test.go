package output

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"microagent/runtime/driver"
	"microagent/runtime/drivertest"
)

func TestHostileTrees(t *testing.T) {
	link := func(name, to string) item { return item{Name: name, Type: tar.TypeSymlink, Link: to} }
	hard := func(name, to string) item { return item{Name: name, Type: tar.TypeLink, Link: to} }
	file := func(name string) item { return item{Name: name, Data: "x"} }
	dir := func(name string) item { return item{Name: name, Type: tar.TypeDir} }
	deep := func(n int) string { return strings.Repeat("d/", n) + "f" }
	for name, tc := range map[string]struct {
		entries []item
		names   string // entry that the error names; "" when the tree is fine
	}{
		"duplicate file":           {[]item{file("a"), file("./a")}, `"./a"`},
		"duplicate folder":         {[]item{dir("a"), file("a/b"), dir("a/")}, ""},
		"file over folder":         {[]item{file("a/b"), file("a")}, `"a"`},
		"folder over file":         {[]item{file("a"), dir("a")}, `"a"`},
		"below a file":             {[]item{file("a"), file("a/b")}, `"a/b"`},
		"through a link":           {[]item{dir("d"), link("l", "d"), file("l/f")}, `"l/f"`},
		"through a link, then dir": {[]item{link("l", "."), dir("l")}, `"l"`},
		"file under a lone file":   {[]item{file("."), file("a")}, `"a"`},
		"lone link":                {[]item{link(".", "x")}, `"."`},
		"hard link":                {[]item{file("a"), hard("b", "a")}, ""},
		"hard link to a hard link": {[]item{file("a"), hard("b", "a"), hard("c", "./b")}, ""},
		"hard link ahead":          {[]item{hard("b", "a"), file("a")}, `"b"`},
		"hard link to itself":      {[]item{hard("b", "b")}, `"b"`},
		"hard link to a folder":    {[]item{dir("a"), hard("b", "a")}, `"b"`},
		"hard link to a link":      {[]item{file("a"), link("l", "a"), hard("b", "l")}, `"b"`},
		"hard link by a link":      {[]item{file("d/a"), link("l", "d"), hard("b", "l/a")}, `"b"`},
		"hard link upwards":        {[]item{file("a"), hard("b", "../a")}, `"b"`},
		"hard link to what stayed": {[]item{link("l", "/etc/passwd"), hard("b", "l")}, `"b"`},
		"below what stayed":        {[]item{link("l", "/etc"), file("l/f")}, `"l/f"`},
		"over what stayed":         {[]item{link("l", "/etc"), file("l")}, `"l"`},
		"lone fifo":                {[]item{{Name: ".", Type: tar.TypeFifo}}, `"."`},
		"too deep":                 {[]item{file(deep(maxDepth + 1))}, "folders deep"},
		"deep":                     {[]item{file(deep(maxDepth - 1))}, ""},
		"long name":                {[]item{file(strings.Repeat("n", 5000))}, "nnn"},
		"dangling link":            {[]item{link("l", "nowhere/x")}, ""},
		"link to the root":         {[]item{link("a/b/l", "../..")}, ""},
		"loop":                     {[]item{link("a", "b"), link("b", "a")}, ""},
		"link names no target":     {[]item{link("a", "")}, `"a"`},
	} {
		t.Run(name, func(t *testing.T) {
			where, root := folder(t)
			_, err := publishEntries(t, root, "out", tc.entries...)
			if tc.names == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, driver.ErrRefused) || !strings.Contains(fmt.Sprint(err), tc.names) || driver.Next(err) == "" {
				t.Errorf("got %v, want a refusal with %s", err, tc.names)
			}
			if left, _ := os.ReadDir(where); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// TestLinksAreNotFollowed reads 38 links that each lead through hundreds of folders to the next, and many that lead to
// the first: to follow each would take minutes. What is judged is a link's own words, so that the work grows with
// their length alone; allocations stand for it.
func TestLinksAreNotFollowed(t *testing.T) {
	stream := func(n int) []byte {
		var entries []item
		for i := range 38 {
			next := fmt.Sprintf("c%d", i+1)
			entries = append(entries, item{Name: fmt.Sprintf("c%d", i), Type: tar.TypeSymlink, Link: strings.Repeat("a/", 600) + next})
		}
		for i := range n {
			entries = append(entries, item{Name: fmt.Sprintf("l%d", i), Type: tar.TypeSymlink, Link: "c0"})
		}
		return drivertest.Tar(t, entries...)
	}
	work := func(stream []byte) float64 {
		return testing.AllocsPerRun(1, func() {
			_, root := folder(t)
			_, err := New().Publish(t.Context(), bytes.NewReader(stream), driver.Target{Root: root, Path: "out"}, driver.Publishing{})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
	few, many := work(stream(100)), work(stream(900))
	if each := (many - few) / 800; each > 200 {
		t.Errorf("%.0f allocations for each short link", each)
	}
}

func TestLeftOutLinks(t *testing.T) {
	link := func(name, to string) item { return item{Name: name, Type: tar.TypeSymlink, Link: to} }
	dir, root := folder(t)
	got, err := publishEntries(t, root, "out", item{Name: "a/b/f", Data: "x"}, link("a/b/l", "../../.."), link("a/b/c", "../../b"),
		link("m", "a/b/c/../../x"), link("n", "a/l/../x"), link("abs", "/bin/busybox"), link("ok", "a/b/f"),
		item{Name: "s", Mode: 0o140644})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"a/b/l: a link that leads out of the tree", "m: a link that leads out of the tree", "n: a link that leads out of the tree",
		"abs: a link that leads out of the tree", "s: a socket"}
	if !slices.Equal(got.LeftOut.Names, want) || got.LeftOut.Count != len(want) {
		t.Errorf("left out %d: %q", got.LeftOut.Count, got.LeftOut.Names)
	}
	if there := list(t, filepath.Join(dir, "out")); len(there) != 6 {
		t.Errorf("%q", there)
	}
}

func TestLimit(t *testing.T) {
	_, root := folder(t)
	publish := func(limit int64, entries ...item) error {
		_, err := New().Publish(t.Context(), bytes.NewReader(drivertest.Tar(t, entries...)), driver.Target{Root: root, Path: "out"}, driver.Publishing{Limit: limit})
		return err
	}
	if err := publish(5, item{Name: ".", Data: "12345"}); err != nil {
		t.Errorf("a lone file of just the limit: %v", err)
	}
	var dirs []item
	for i := range 100 {
		dirs = append(dirs, item{Name: fmt.Sprint(i), Type: tar.TypeDir})
	}
	for name, err := range map[string]error{
		"a byte more":       publish(5, item{Name: ".", Data: "123456"}),
		"in sum":            publish(2000, item{Name: "a", Data: "1"}, item{Name: "b", Data: strings.Repeat("x", 1000)}),
		"empty directories": publish(20000, dirs...),
		"implied folders":   publish(20000, item{Name: strings.Repeat("d/", 100) + "f"}),
	} {
		if !errors.Is(err, driver.ErrRefused) || !strings.Contains(fmt.Sprint(err), "larger than its limit") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNamesHaveABound of their own: they are kept in memory until the tree is complete, however large its limit is.
func TestNamesHaveABound(t *testing.T) {
	r, w := io.Pipe()
	go func() {
		tw, target := tar.NewWriter(w), strings.Repeat("t", maxName)
		for i := 0; ; i++ {
			if err := tw.WriteHeader(&tar.Header{Name: fmt.Sprintf("%0200d", i), Typeflag: tar.TypeSymlink, Linkname: target}); err != nil {
				return
			}
		}
	}()
	defer r.Close()
	_, root := folder(t)
	_, err := New().Publish(t.Context(), r, driver.Target{Root: root, Path: "out"}, driver.Publishing{Limit: 1 << 40})
	if !errors.Is(err, driver.ErrRefused) || !strings.Contains(fmt.Sprint(err), fmt.Sprintf("more than %d bytes of names", maxText)) {
		t.Error(err)
	}
}

// TestHugePromise is a header that promises more than the limit: it is refused before a byte is written.
func TestHugePromise(t *testing.T) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	if err := w.WriteHeader(&tar.Header{Name: "huge", Typeflag: tar.TypeReg, Size: 1 << 50}); err != nil {
		t.Fatal(err)
	}
	_, root := folder(t)
	_, err := New().Publish(t.Context(), &buf, driver.Target{Root: root, Path: "out"}, driver.Publishing{})
	if !errors.Is(err, driver.ErrRefused) {
		t.Error(err)
	}
}

func TestStreamThatBreaks(t *testing.T) {
	_, root := folder(t)
	broken := errors.New("the guest went away")
	whole := drivertest.Tar(t, item{Name: "a", Data: strings.Repeat("x", 4000)})
	for _, n := range []int64{0, 100, 1000, 5000} {
		stream := io.MultiReader(io.LimitReader(bytes.NewReader(whole), n), errReader{broken})
		if _, err := New().Publish(t.Context(), stream, driver.Target{Root: root, Path: "out"}, driver.Publishing{}); !errors.Is(err, broken) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

// FuzzPublish checks what must hold for any stream: nothing outside the target appears, and what is published
// has the digest that Publish said, holds plain files, folders and links only, and survives a round trip.
func FuzzPublish(f *testing.F) {
	f.Add(drivertest.Tar(f, item{Name: "a/b", Data: "1"}, item{Name: "l", Type: tar.TypeSymlink, Link: "a/../a/b"}))
	f.Add(drivertest.Tar(f, item{Name: ".", Data: "1", Mode: 0o4777}))
	f.Add(drivertest.Tar(f, item{Name: "../x", Data: "1"}, item{Name: "d", Type: tar.TypeChar}))
	f.Add(drivertest.Tar(f, item{Name: "a/l", Type: tar.TypeSymlink, Link: ".."}, item{Name: "m", Type: tar.TypeSymlink, Link: "a/l/../x"}))
	f.Fuzz(func(t *testing.T, stream []byte) {
		dir, root := folder(t)
		at := driver.Target{Root: root, Path: "in/out"}
		o := New()
		got, err := o.Publish(t.Context(), bytes.NewReader(stream), at, driver.Publishing{Limit: 1 << 20})
		left, _ := os.ReadDir(dir)
		if len(left) > 1 || len(left) == 1 && left[0].Name() != "in" {
			t.Fatalf("outside: %v", left)
		}
		if err != nil {
			if left, _ := os.ReadDir(filepath.Join(dir, "in")); len(left) != 0 {
				t.Fatalf("left behind: %v", left)
			}
			return
		}
		if digest, err := o.Digest(t.Context(), at); err != nil || digest != got.Digest {
			t.Fatalf("digest %s, %v; published %s", digest, err, got.Digest)
		}
		err = filepath.WalkDir(filepath.Join(dir, "in"), func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			fi, err := d.Info()
			if err == nil && fi.Mode()&^(fs.ModeDir|fs.ModeSymlink|fs.ModePerm) != 0 {
				t.Errorf("%s has mode %v", p, fi.Mode())
			}
			if end, err := filepath.EvalSymlinks(p); err == nil && !strings.HasPrefix(end, filepath.Join(dir, "in")) {
				t.Errorf("%s leads to %s", p, end)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		var buf bytes.Buffer
		if err := o.Tar(t.Context(), at, &buf); err != nil {
			t.Fatal(err)
		}
		again, err := o.Publish(t.Context(), &buf, driver.Target{Root: root, Path: "in/again"}, driver.Publishing{Limit: 2 << 20})
		if err != nil || again.Digest != got.Digest {
			t.Fatalf("round trip: %+v, %v", again, err)
		}
	})
}

// TestZerosTakeNoRoom of the host: what a guest has as holes, or not, is none here.
func TestZerosTakeNoRoom(t *testing.T) {
	dir, root := folder(t)
	data := strings.Repeat("\x00", 8<<20) + "end" + strings.Repeat("\x00", 1<<20)
	got, err := publishEntries(t, root, "out", item{Name: ".", Type: tar.TypeReg, Mode: 0o644, Data: data})
	if err != nil {
		t.Fatal(err)
	}
	read, err := os.ReadFile(filepath.Join(dir, "out"))
	if err != nil || string(read) != data || got.Bytes != int64(len(data)) {
		t.Errorf("%d bytes for %d, %v", len(read), len(data), err)
	}
	info, err := os.Stat(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	if taken := info.Sys().(*syscall.Stat_t).Blocks * 512; taken > 1<<20 {
		t.Errorf("it takes %d bytes", taken)
	}
}
