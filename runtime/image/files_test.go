package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"microagent/runtime/compress"
	"microagent/runtime/driver"
	"microagent/runtime/drivertest"
	"microagent/runtime/layout"
	"microagent/schema/imageref"
	"microagent/testscripts/lane"
)

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// oneImage gives an archive with one image tagged latest, and its digest.
func oneImage(t testing.TB, texts ...string) (archive []byte, digest string) {
	b := newBuilder(t)
	var layers []testLayer
	for i, text := range texts {
		layers = append(layers, testLayer{small(t, text), []compress.Format{compress.Plain, compress.Gzip, compress.Zstd}[i%3]})
	}
	d := b.image(runtime.GOARCH, layers...)
	b.tag("latest", d)
	return b.archive(), d.Digest.String()
}

// savedArchive is what docker save writes, in its old form: a link stands for a layer that comes twice.
func savedArchive(t testing.TB, edit func(entries []drivertest.Entry) []drivertest.Entry) []byte {
	t.Helper()
	a, b := small(t, "a"), small(t, "b")
	config := fmt.Sprintf(`{"architecture":%q,"os":"linux","config":{"Cmd":["sh"],"Env":["A=b"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s","sha256:%s","sha256:%s"]}}`,
		runtime.GOARCH, hexOf(a), hexOf(b), hexOf(a))
	manifest, _ := json.Marshal([]savedImage{{Config: "c.json", RepoTags: []string{"app:1", "docker.io/library/app:2"}, Layers: []string{"1/layer.tar", "2/layer.tar", "3/layer.tar"}}})
	entries := []drivertest.Entry{
		{Name: "1/layer.tar", Data: string(a)},
		{Name: "2/layer.tar", Data: string(b)},
		{Name: "3/layer.tar", Type: tar.TypeSymlink, Link: "../1/layer.tar"},
		{Name: "c.json", Data: config},
		{Name: "manifest.json", Data: string(manifest)},
	}
	if edit != nil {
		entries = edit(entries)
	}
	return drivertest.Tar(t, entries...)
}

func TestConformanceFiles(t *testing.T) {
	for kind, data := range map[string][]byte{
		"oci-archive":    func() []byte { a, _ := oneImage(t, "one", "two", "three"); return a }(),
		"docker-archive": savedArchive(t, nil),
	} {
		for _, how := range []compress.Format{compress.Plain, compress.Gzip, compress.Zstd} {
			t.Run(fmt.Sprint(kind, how), func(t *testing.T) {
				drivertest.Images(t, func(t *testing.T) (driver.Images, drivertest.ImageSources) {
					dir := t.TempDir()
					write(t, dir+"/img.tar", pack(t, data, how))
					s, _ := newStore(t)
					return s, drivertest.ImageSources{Here: source(t, dir, kind+":img.tar"), Gone: source(t, dir, kind+":none.tar")}
				})
			})
		}
	}
}

func TestFindAgreesWithPull(t *testing.T) {
	archive, _ := oneImage(t, "one", "two")
	dir := t.TempDir()
	write(t, dir+"/oci.tar", archive)
	write(t, dir+"/docker.tar", savedArchive(t, nil))
	write(t, dir+"/root.tar", small(t, "root"))
	write(t, dir+"/root.tar.gz", pack(t, small(t, "root"), compress.Gzip))
	write(t, dir+"/root.tar.zst", pack(t, small(t, "root"), compress.Zstd))
	for _, name := range []string{"oci-archive:oci.tar", "docker-archive:docker.tar:app:2", "rootfs:root.tar", "rootfs:root.tar.gz", "rootfs:./root.tar.zst"} {
		t.Run(name, func(t *testing.T) {
			s, _ := newStore(t)
			found, err := s.Find(t.Context(), source(t, dir, name))
			if err != nil || found.From != "file" {
				t.Fatalf("Find: %+v, %v", found, err)
			}
			img, err := s.Pull(t.Context(), source(t, dir, name), found.Digest, nil)
			if err != nil || img.Digest != found.Digest || img.Size != found.Size || img.Ref != found.Ref {
				t.Fatalf("Pull: %+v, %v, Find: %+v", img, err, found)
			}
			if stored, err := s.Find(t.Context(), source(t, dir, name)); err != nil || stored.From != "file" || stored.Digest != img.Digest {
				t.Errorf("Find of what the store has: %+v, %v", stored, err)
			}
			if _, err := readAll(t, s, img.Digest); err != nil {
				t.Error(err)
			}
			other, _ := newStore(t)
			if again, err := other.Pull(t.Context(), source(t, dir, name), "", nil); err != nil || again.Digest != img.Digest {
				t.Errorf("another store makes %+v of it, %v", again, err)
			}
		})
	}
}

func TestRootFSLayer(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/r.tar.zst", pack(t, small(t, "root"), compress.Zstd))
	s, _ := newStore(t)
	img, err := s.Pull(t.Context(), source(t, dir, "rootfs:r.tar.zst"), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := readAll(t, s, img.Digest)
	if err != nil || len(got) != 1 || got[0] != string(small(t, "root")) {
		t.Errorf("%d layers, %v", len(got), err)
	}
	if img.Config.Cmd != nil || img.Config.Env != nil {
		t.Errorf("config: %+v", img.Config)
	}
}

// The layer of a rootfs: source says that it has no whiteouts where it has names like them, and one without keeps its
// digest.
func TestRootFSHasNoWhiteouts(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/plain.tar", small(t, "root"))
	write(t, dir+"/marks.tar", drivertest.Tar(t, drivertest.Entry{Name: "d/a", Mode: 0o644}, drivertest.Entry{Name: "d/.wh.a", Mode: 0o644}))
	archive, _ := oneImage(t, "one")
	write(t, dir+"/oci.tar", archive)
	s, _ := newStore(t)
	for name, want := range map[string]bool{"rootfs:marks.tar": false, "oci-archive:oci.tar": true} {
		img, err := s.Pull(t.Context(), source(t, dir, name), "", nil)
		if err != nil {
			t.Fatal(err)
		}
		layers, err := s.Layers(t.Context(), img.Digest)
		if err != nil {
			t.Fatal(err)
		}
		if got := layers.Whiteouts(0); got != want {
			t.Errorf("%s: whiteouts %v", name, got)
		}
		layers.Close()
	}
	img, err := s.Pull(t.Context(), source(t, dir, "rootfs:plain.tar"), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if m, _, err := s.load(img.Digest); err != nil || strings.Contains(string(m.data), "annotations") {
		t.Errorf("manifest of a plain root file system: %s, %v", m.data, err)
	}
}

// TestFingerprint sees when the remembered digest of a file is trusted, and that a changed file is read again.
func TestFingerprint(t *testing.T) {
	dir := t.TempDir()
	path := dir + "/r.tar"
	write(t, path, small(t, "root"))
	s, _ := newStore(t)
	src := source(t, dir, "rootfs:r.tar")
	img, err := s.Pull(t.Context(), src, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	r, _ := imageref.Parse(src.Ref)
	idx, err := s.readIndex()
	if err != nil {
		t.Fatal(err)
	}
	if _, trusted := idx.known(r, src.Files); trusted {
		t.Error("a fingerprint of a file that was just written is trusted")
	}
	key := keyOf(r, src.Files)
	e := idx.Images[key]
	e.Source.Taken += int64(time.Minute)
	idx.Images[key] = e
	if err := layout.WriteJSON(s.indexPath(), idx); err != nil {
		t.Fatal(err)
	}
	if d, trusted := idx.known(r, src.Files); !trusted || d != img.Digest {
		t.Error("the fingerprint of an unchanged file is not trusted")
	}
	write(t, path, small(t, "else"))
	found, err := s.Find(t.Context(), src)
	if err != nil || found.Digest == img.Digest || found.From != "file" {
		t.Errorf("a changed file was not noticed: %+v, %v", found, err)
	}
	next, err := s.Pull(t.Context(), src, "", nil)
	if err != nil || next.Digest != found.Digest {
		t.Fatalf("%+v, %v", next, err)
	}
	if _, err := s.Get(t.Context(), img.Digest); !errors.Is(err, driver.ErrNotFound) {
		t.Errorf("the old image of a changed file stays: %v", err)
	}
}

func TestTwoProjectsWithOneName(t *testing.T) {
	s, _ := newStore(t)
	for _, text := range []string{"one", "two"} {
		dir := t.TempDir()
		archive, digest := oneImage(t, text)
		write(t, dir+"/img.tar", archive)
		if img, err := s.Pull(t.Context(), source(t, dir, "oci-archive:img.tar"), digest, nil); err != nil || img.Digest != digest {
			t.Fatalf("%+v, %v", img, err)
		}
	}
	if list, err := s.List(t.Context()); err != nil || len(list) != 2 {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestTruncatedFiles(t *testing.T) {
	archive, _ := oneImage(t, strings.Repeat("one", 2000), "two")
	root := drivertest.Tar(t, drivertest.Entry{Name: "a", Data: strings.Repeat("x", 700)}, drivertest.Entry{Name: "b", Data: "y"})
	for kind, data := range map[string][]byte{"oci-archive": archive, "docker-archive": savedArchive(t, nil), "rootfs": root} {
		for _, how := range []compress.Format{compress.Plain, compress.Gzip, compress.Zstd} {
			whole := pack(t, data, how)
			cuts := []int{0, 3, len(whole) / 3, len(whole) / 2, len(whole) - 20}
			if how == compress.Plain {
				cuts = []int{0, 3, 512, 700, len(whole) / 2, len(whole) / 512 / 2 * 512}
			}
			if how == compress.Plain && kind == "rootfs" {
				cuts = append(cuts, 512+1024, len(whole)-1024, len(whole)-512)
			}
			for _, cut := range cuts {
				t.Run(fmt.Sprintf("%s %s at %d", kind, how, cut), func(t *testing.T) {
					if cut >= len(whole) {
						t.Fatalf("there are only %d bytes", len(whole))
					}
					dir := t.TempDir()
					write(t, dir+"/cut.tar", whole[:cut])
					s, state := newStore(t)
					_, err := s.Pull(t.Context(), source(t, dir, kind+":cut.tar"), "", nil)
					if !errors.Is(err, driver.ErrCorrupt) || !strings.Contains(fmt.Sprint(err), "cut.tar") || driver.Next(err) == "" {
						t.Errorf("%v", err)
					}
					if list, err := s.List(t.Context()); err != nil || len(list) != 0 {
						t.Errorf("%v, %v; %v", list, err, state)
					}
				})
			}
		}
	}
}

func TestBadFiles(t *testing.T) {
	dir := t.TempDir()
	archive, _ := oneImage(t, "one")
	write(t, dir+"/good.tar", archive)
	write(t, dir+"/text", []byte(strings.Repeat("no tar at all\n", 100)))
	write(t, dir+"/plain.tar", small(t, "root"))
	write(t, dir+"/x.tar.xz", []byte("\xfd7zXZ\x00more"))
	two := newBuilder(t)
	two.tag("a", two.image(runtime.GOARCH, testLayer{small(t, "1"), compress.Plain}))
	two.tag("b", two.image(runtime.GOARCH, testLayer{small(t, "2"), compress.Plain}))
	write(t, dir+"/two.tar", two.archive())
	foreign := newBuilder(t)
	foreign.tag("a", foreign.image("s390x", testLayer{small(t, "1"), compress.Plain}))
	write(t, dir+"/foreign.tar", foreign.archive())
	write(t, dir+"/docker.tar", savedArchive(t, nil))
	write(t, dir+"/liar.tar", savedArchive(t, func(e []drivertest.Entry) []drivertest.Entry {
		e[1].Data = string(small(t, "other"))
		return e
	}))
	write(t, dir+"/out.tar", savedArchive(t, func(e []drivertest.Entry) []drivertest.Entry {
		e[2].Link = "../../../../../../" + dir + "/good.tar"
		return e
	}))
	write(t, dir+"/loop.tar", savedArchive(t, func(e []drivertest.Entry) []drivertest.Entry {
		e[2].Link = "../3/layer.tar"
		return e
	}))
	wrong := newBuilder(t)
	d := wrong.image(runtime.GOARCH, testLayer{small(t, "1"), compress.Plain})
	wrong.tag("a", d)
	for name, data := range wrong.files {
		if bytes.Contains(data, []byte("motd")) {
			wrong.files[name] = flip(600)(data)
		}
	}
	write(t, dir+"/wrong.tar", wrong.archive())
	for name, want := range map[string]struct {
		class error
		text  string
	}{
		"oci:none":                      {driver.ErrInvalid, "none"},
		"oci:.":                         {driver.ErrInvalid, "it is no OCI layout"},
		"oci-archive:none.tar":          {driver.ErrInvalid, "none.tar"},
		"oci-archive:.":                 {driver.ErrInvalid, "not a regular file"},
		"rootfs:none.tar":               {driver.ErrInvalid, "none.tar"},
		"oci-archive:text":              {driver.ErrInvalid, "text: invalid: it is no tar"},
		"rootfs:text":                   {driver.ErrInvalid, "text: invalid: it is no tar"},
		"docker-archive:good.tar":       {driver.ErrInvalid, "manifest.json, and is another kind of archive"},
		"oci-archive:docker.tar":        {driver.ErrInvalid, "index.json, and is another kind of archive"},
		"oci-archive:plain.tar":         {driver.ErrInvalid, "another kind of archive"},
		"rootfs:x.tar.xz":               {driver.ErrUnsupported, "xz"},
		"oci-archive:two.tar":           {driver.ErrInvalid, "it has 2 images: a ("},
		"oci-archive:two.tar:c":         {driver.ErrInvalid, "it has no image c, only a ("},
		"oci-archive:foreign.tar":       {driver.ErrUnsupported, "linux/s390x"},
		"docker-archive:docker.tar:x:9": {driver.ErrInvalid, "docker.io/library/app:1"},
		"docker-archive:liar.tar":       {driver.ErrCorrupt, "2/layer.tar"},
		"docker-archive:out.tar":        {driver.ErrCorrupt, "3/layer.tar"},
		"docker-archive:loop.tar":       {driver.ErrCorrupt, "3/layer.tar"},
		"oci-archive:wrong.tar":         {driver.ErrCorrupt, "wrong.tar"},
	} {
		t.Run(name, func(t *testing.T) {
			s, state := newStore(t)
			_, err := s.Pull(t.Context(), source(t, dir, name), "", nil)
			if !errors.Is(err, want.class) || !strings.Contains(fmt.Sprint(err), want.text) {
				t.Errorf("got %v, want %q with %q", err, want.class, want.text)
			}
			if driver.Next(err) == "" && !errors.Is(want.class, driver.ErrUnsupported) {
				t.Errorf("%v does not say what to do", err)
			}
			if list, err := s.List(t.Context()); err != nil || len(list) != 0 {
				t.Errorf("%v, %v; %v", list, err, state)
			}
		})
	}
	s, _ := newStore(t)
	if _, err := s.Pull(t.Context(), source(t, dir, "oci-archive:two.tar:b"), "", nil); err != nil {
		t.Errorf("one of two tags: %v", err)
	}
}

// TestOthersTools reads what skopeo, umoci and mmdebstrap make.
func TestOthersTools(t *testing.T) {
	tool(t, "skopeo", "umoci")
	dir := t.TempDir()
	b := newBuilder(t)
	b.tag("x", b.image(runtime.GOARCH, testLayer{small(t, "one"), compress.Gzip}, testLayer{small(t, "two"), compress.Gzip}))
	b.write(dir + "/mine")
	want := string(small(t, "one")) + string(small(t, "two"))
	run(t, "skopeo", "copy", "--quiet", "oci:"+dir+"/mine:x", "oci-archive:"+dir+"/oci.tar:v1")
	run(t, "skopeo", "copy", "--quiet", "oci:"+dir+"/mine:x", "docker-archive:"+dir+"/docker.tar:app:v2")
	run(t, "skopeo", "copy", "--quiet", "--dest-compress-format=zstd", "oci:"+dir+"/mine:x", "oci:"+dir+"/zstd:x")
	run(t, "gzip", "-k", dir+"/oci.tar")
	for _, name := range []string{"oci-archive:oci.tar:v1", "oci-archive:oci.tar.gz", "docker-archive:docker.tar", "docker-archive:docker.tar:app:v2", "oci:zstd"} {
		s, _ := newStore(t)
		img, err := s.Pull(t.Context(), source(t, dir, name), "", nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := readAll(t, s, img.Digest)
		if err != nil || strings.Join(got, "") != want || img.Config.User != "1000" {
			t.Errorf("%s: other layers, or config %+v, %v", name, img.Config, err)
		}
	}
	run(t, "umoci", "init", "--layout", dir+"/umoci")
	run(t, "umoci", "new", "--image", dir+"/umoci:v1")
	if err := os.MkdirAll(dir+"/tree/bin", 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/tree/bin/tool", []byte("#!/bin/sh\n"))
	run(t, "umoci", "insert", "--rootless", "--image", dir+"/umoci:v1", dir+"/tree", "/opt")
	run(t, "umoci", "config", "--image", dir+"/umoci:v1", "--config.cmd", "/opt/bin/tool", "--config.env", "A=b")
	s, _ := newStore(t)
	img, err := s.Pull(t.Context(), source(t, dir, "oci:umoci:v1"), "", nil)
	if err != nil || img.Config.Env["A"] != "b" || len(img.Config.Cmd) != 1 {
		t.Fatalf("umoci: %+v, %v", img, err)
	}
	if got, err := readAll(t, s, img.Digest); err != nil || !strings.Contains(strings.Join(got, ""), "opt/bin/tool") {
		t.Errorf("umoci: %v", err)
	}
}

func TestBusyboxTar(t *testing.T) {
	tool(t, "busybox")
	dir := t.TempDir()
	if err := os.MkdirAll(dir+"/root/bin", 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/root/bin/sh", []byte("x"))
	run(t, "busybox", "tar", "-czf", dir+"/root.tgz", "-C", dir+"/root", ".")
	s, _ := newStore(t)
	img, err := s.Pull(t.Context(), source(t, dir, "rootfs:root.tgz"), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readAll(t, s, img.Digest); err != nil {
		t.Error(err)
	}
}

// TestMmdebstrap reads a real root file system, with devices, hard links and long names.
func TestMmdebstrap(t *testing.T) {
	if !lane.All() {
		t.Skip("mmdebstrap takes a minute: TESTS=all")
	}
	tool(t, "mmdebstrap", "zstd")
	dir := t.TempDir()
	command := []string{"mmdebstrap"}
	if os.Geteuid() != 0 && exec.Command("unshare", "--user", "true").Run() != nil {
		command = []string{"sudo", "-n", "mmdebstrap"} // users have no namespaces here
	}
	command = append(command, "--variant=extract", "--include=busybox-static", "--format=tar", "bookworm", dir+"/root.tar")
	out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
	if err != nil {
		t.Skipf("mmdebstrap can't reach a mirror here: %v\n%s", err, out)
	}
	run(t, "zstd", "-q", dir+"/root.tar")
	s, _ := newStore(t)
	for _, name := range []string{"rootfs:root.tar", "rootfs:root.tar.zst"} {
		img, err := s.Pull(t.Context(), source(t, dir, name), "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := readAll(t, s, img.Digest); err != nil {
			t.Errorf("%s: %v", filepath.Base(name), err)
		}
	}
}
