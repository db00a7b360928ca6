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
