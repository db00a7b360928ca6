package image

import (
	"errors"
	"os"
	"testing"

	"microagent/runtime/compress"
	"microagent/runtime/driver"
	"microagent/runtime/drivertest"
)

// FuzzArchive reads any bytes as every kind of archive: no panic, an error of a known class, nothing written by
// Find, and an image that Find sees is the one that reading again sees.
func FuzzArchive(f *testing.F) {
	archive, _ := oneImage(f, "one", "two", "three")
	f.Add(archive)
	f.Add(pack(f, archive, compress.Gzip))
	f.Add(savedArchive(f, nil))
	f.Add(savedArchive(f, func(e []drivertest.Entry) []drivertest.Entry {
		e[2].Link = "../../../3/layer.tar"
		return e
	}))
	f.Add(pack(f, small(f, "x"), compress.Zstd))
	classes := []error{driver.ErrCorrupt, driver.ErrInvalid, driver.ErrUnsupported}
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		write(t, dir+"/img.tar", data)
		files := drivertest.NewDirFiles(t, dir)
		s, state := newStore(t)
		for _, kind := range []string{"oci-archive", "docker-archive", "rootfs"} {
			src := driver.ImageSource{Ref: kind + ":img.tar", Files: files}
			first, err := s.Find(t.Context(), src)
			if err != nil {
				known := false
				for _, class := range classes {
					known = known || errors.Is(err, class)
				}
				if !known {
					t.Fatalf("%s: error without a class: %v", kind, err)
				}
				continue
			}
			again, err := s.Find(t.Context(), src)
			if err != nil || again.Digest != first.Digest {
				t.Fatalf("%s: first %s, then %s, %v", kind, first.Digest, again.Digest, err)
			}
		}
		if left, _ := os.ReadDir(state.Dir); len(left) != 0 {
			t.Fatalf("Find wrote %v", left)
		}
	})
}

// FuzzReference checks that a normalised name reads as itself.
func FuzzReference(f *testing.F) {
	for _, text := range []string{
		"alpine", "docker.io/library/alpine:3.20", "localhost:5000/a/b@sha256:" + zeros64, "oci:./a/../b:tag", "oci:a:b/c",
		"docker-archive:x.tar:app:1", "rootfs:a:b", "oci-archive:/abs/x.tar",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parse(text)
		if err != nil {
			return
		}
		again, err := parse(r.name)
		if err != nil || again != r {
			t.Fatalf("%q reads as %+v, and its name as %+v, %v", text, r, again, err)
		}
	})
}

const zeros64 = "0000000000000000000000000000000000000000000000000000000000000000"

func TestReferences(t *testing.T) {
	for text, want := range map[string]reference{
		"alpine":                     {name: "docker.io/library/alpine:latest", host: "docker.io"},
		"me/app:1":                   {name: "docker.io/me/app:1", host: "docker.io"},
		"localhost:5000/app":         {name: "localhost:5000/app:latest", host: "localhost:5000"},
		"a.io/b@sha256:" + zeros64:   {name: "a.io/b@sha256:" + zeros64, host: "a.io", digest: "sha256:" + zeros64},
		"oci:./dir":                  {kind: kindOCI, name: "oci:dir", path: "dir"},
		"oci:dir/x:v1":               {kind: kindOCI, name: "oci:dir/x:v1", path: "dir/x", tag: "v1"},
		"oci:a:b/c":                  {kind: kindOCI, name: "oci:a:b/c", path: "a:b/c"},
		"docker-archive:x.tar:app:1": {kind: kindDockerArchive, name: "docker-archive:x.tar:docker.io/library/app:1", path: "x.tar", tag: "docker.io/library/app:1"},
		"rootfs:a//b.tar":            {kind: kindRootFS, name: "rootfs:a/b.tar", path: "a/b.tar"},
	} {
		if got, err := parse(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}
