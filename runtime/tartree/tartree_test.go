package tartree

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"microagent/runtime/driver"
)

func stream(t testing.TB, headers ...*tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, h.Size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func readAll(r io.Reader, opt Options) (list []*tar.Header, err error) {
	t := NewReader(r, opt)
	for {
		h, err := t.Next()
		if err == io.EOF {
			return list, t.Drain()
		}
		if err != nil {
			return list, err
		}
		list = append(list, h)
	}
}

// TestEnds: which cuts of a stream of one file of 700 bytes are its end, by the mark that is asked for.
func TestEnds(t *testing.T) {
	whole := stream(t, &tar.Header{Name: "f", Typeflag: tar.TypeReg, Size: 700})
	const entry = 512 + 1024
	for mark, least := range map[int64]int{NoMark: entry, OneBlock: entry + 512, Whole: entry + 1024} {
		for n := 512; n <= len(whole); n += 4 {
			_, err := readAll(bytes.NewReader(whole[:n]), Options{EndMark: mark})
			ok := n >= least && (n-entry)%512 == 0
			if ok && err != nil || n < least && !errors.Is(err, driver.ErrCorrupt) {
				// The padding of the last entry may be missing where no mark is asked for.
				if mark == NoMark && n >= 512+700 {
					continue
				}
				t.Errorf("mark of %d, cut to %d: %v", mark, n, err)
			}
		}
	}
}

// v7 takes the magic of a header away and makes its sum anew.
func v7(whole []byte) []byte {
	h := bytes.Clone(whole)
	clear(h[257:512])
	copy(h[148:], "        ")
	sum := 0
	for _, c := range h[:512] {
		sum += int(c)
	}
	digits := []byte("000000\x00 ")
	for i := 5; i >= 0; i-- {
		digits[i] = byte('0' + sum&7)
		sum >>= 3
	}
	copy(h[148:], digits)
	return h
}

// TestDirectoriesBeforePOSIX have the type of a file.
func TestDirectoriesBeforePOSIX(t *testing.T) {
	for _, kind := range []byte{'0', 0} {
		whole := stream(t, &tar.Header{Name: "d/", Typeflag: tar.TypeDir, Format: tar.FormatUSTAR})
		whole[156] = kind
		list, err := readAll(bytes.NewReader(v7(whole)), Options{EndMark: Whole})
		if err != nil || len(list) != 1 || list[0].Typeflag != tar.TypeDir {
			t.Errorf("type %q: %+v, %v", kind, list, err)
		}
	}
	list, err := readAll(bytes.NewReader(v7(stream(t, &tar.Header{Name: "f", Typeflag: tar.TypeReg, Size: 1, Format: tar.FormatUSTAR}))), Options{})
	if err != nil || len(list) != 1 || !IsFile(list[0]) {
		t.Errorf("a file: %+v, %v", list, err)
	}
}

func TestGlobalHeadersArePassedOver(t *testing.T) {
	global := &tar.Header{Name: "g", Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "x"}}
	list, err := readAll(bytes.NewReader(stream(t, global, &tar.Header{Name: "f", Typeflag: tar.TypeReg}, global)), Options{EndMark: Whole})
	if err != nil || len(list) != 1 || list[0].Name != "f" {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestErrors(t *testing.T) {
	broken := errors.New("the disk broke")
	whole := stream(t, &tar.Header{Name: "f", Typeflag: tar.TypeReg, Size: 700})
	if _, err := readAll(io.MultiReader(bytes.NewReader(whole[:600]), iotest.ErrReader(broken)), Options{}); !errors.Is(err, broken) || errors.Is(err, driver.ErrCorrupt) {
		t.Errorf("the source's: %v", err)
	}
	if _, err := readAll(bytes.NewReader(bytes.Repeat([]byte("garbage."), 200)), Options{}); !errors.Is(err, driver.ErrCorrupt) {
		t.Errorf("no tar: %v", err)
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]string{"a": "a", "./a/": "a", "../../a": "a", "/a/./b//c": "a/b/c", ".": "", "": "", "a/../..": ""} {
		if got := Clean(name); got != want {
			t.Errorf("%q is %q", name, got)
		}
	}
	for name, good := range map[string]bool{"a/b": true, "./a/": true, "/a": false, "a/../b": false, "..": false, "a/..b": true} {
		if _, err := Strict(name); (err == nil) != good || err != nil && !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// needsGNUTar skips a test where tar is another one.
func needsGNUTar(t *testing.T) {
	t.Helper()
	if out, err := exec.Command("tar", "--version").Output(); err != nil || !bytes.Contains(out, []byte("GNU tar")) {
		t.Skip("GNU tar is not installed")
	}
}

// What GNU tar writes besides files: a label, directories of an incremental archive, the second of two volumes.
func TestTypesOfGNUTar(t *testing.T) {
	needsGNUTar(t)
	dir := t.TempDir()
	tree := filepath.Join(dir, "tree")
	if err := errors.Join(os.MkdirAll(filepath.Join(tree, "d"), 0o755), os.WriteFile(filepath.Join(tree, "d", "f"), bytes.Repeat([]byte("content\n"), 2000), 0o644)); err != nil {
		t.Fatal(err)
	}
	pack := func(name string, args ...string) string {
		t.Helper()
		file := filepath.Join(dir, name)
		cmd := exec.Command("tar", append(append([]string{"-c", "-C", tree, "--format=gnu", "-f", file}, args...), ".")...)
		cmd.Stdin = strings.NewReader("n " + filepath.Join(dir, "second") + "\n\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("tar %q: %v\n%s", args, err, out)
		}
		return file
	}
	for name, args := range map[string][]string{"label": {"-V", "my label"}, "incremental": {"-g", filepath.Join(dir, "snapshot")}} {
		data, err := os.ReadFile(pack(name, args...))
		if err != nil {
			t.Fatal(err)
		}
		list, err := readAll(bytes.NewReader(data), Options{EndMark: Whole})
		var got []string
		for _, h := range list {
			got = append(got, string(h.Typeflag)+" "+h.Name)
		}
		if want := "5 ./, 5 ./d/, 0 ./d/f"; err != nil || strings.Join(got, ", ") != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	pack("first", "-M", "-L", "10")
	data, err := os.ReadFile(filepath.Join(dir, "second"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readAll(bytes.NewReader(data), Options{}); !errors.Is(err, driver.ErrUnsupported) || !strings.Contains(err.Error(), "several volumes") {
		t.Errorf("the second of two volumes: %v", err)
	}
}

func TestNamesOfEntries(t *testing.T) {
	for name, want := range map[string][3]string{ // by Clean, Rooted and Plain
		"a/./b/": {"a/b", "a/b", "a/b"}, "/a": {"a", "a", "/a"}, "../a": {"a", "a", "../a"}, "a/../../b": {"b", "b", "../b"},
		".": {"", ".", "."}, "": {"", ".", "."}, "/": {"", ".", "/"}, "..": {"", ".", ".."},
	} {
		if got := [3]string{Clean(name), Rooted(name), Plain(name)}; got != want {
			t.Errorf("%q: %q", name, got)
		}
	}
}

func TestText(t *testing.T) {
	if n := Text(&tar.Header{Name: "abc", Linkname: "de", PAXRecords: map[string]string{"k": "vv"}}); n != 8 {
		t.Errorf("%d bytes", n)
	}
}
