package disk

import (
	"archive/tar"
	"bytes"
	"fmt"
	"testing"

	"microagent/runtime/driver"
)

// TestAllocationsOfAFile: what one more file of a folder or of a tar takes is a few allocations, of which the tree that is
// built keeps some.
func TestAllocationsOfAFile(t *testing.T) {
	const few, many = 200, 1200
	folder := func(n int) driver.BundleSource {
		dir := t.TempDir()
		for i := range n {
			write(t, fmt.Sprintf("%s/file%04d", dir, i), "text", 0o644)
		}
		return driver.BundleSource{Files: quickFiles{}, Path: dir}
	}
	archive := func(n int) driver.BundleSource {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for i := range n {
			if err := w.WriteHeader(&tar.Header{Name: fmt.Sprintf("file%04d", i), Mode: 0o644, Size: 4}); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write([]byte("text")); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return from(put(t, fmt.Sprintf("%d.tar", n), b.Bytes()))
	}
	for name, c := range map[string]struct {
		of   func(n int) driver.BundleSource
		most float64
	}{"folder": {folder, 15}, "tar": {archive, 19}} {
		allocs := func(src driver.BundleSource) float64 {
			return testing.AllocsPerRun(3, func() {
				d := newDisks(t, nil)
				if _, err := d.DraftBundle(t.Context(), src, nil); err != nil {
					t.Fatal(err)
				}
				d.DropDrafts()
			})
		}
		each := (allocs(c.of(many)) - allocs(c.of(few))) / (many - few)
		t.Logf("%s: %.1f allocations a file", name, each)
		if each > c.most || each < 1 {
			t.Errorf("%s: %.1f allocations a file, at most %.0f", name, each, c.most)
		}
	}
}
