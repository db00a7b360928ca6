package volume

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/build"
	"microagent/runtime/disk/ext4/check"
	"microagent/runtime/driver"
	"microagent/runtime/drivertest"
	"microagent/runtime/layout"
)

// FuzzImport takes any bytes for a disk or a tar: what becomes a volume is sound and no larger than was allowed, and what does
// not leaves nothing.
func FuzzImport(f *testing.F) {
	f.Add(drivertest.Tar(f, drivertest.Entry{Name: "a/b", Data: "1"}, drivertest.Entry{Name: "l", Type: tar.TypeSymlink, Link: "../a"}, drivertest.Entry{Name: "h", Type: tar.TypeLink, Link: "a/b"}))
	f.Add(zstdOf(f, drivertest.Tar(f, drivertest.Entry{Name: "c", Type: tar.TypeChar})))
	f.Add(zstdOf(f, smallImage(f)))
	f.Fuzz(func(t *testing.T, stream []byte) {
		const most = 8 << 20
		state := layout.State{Dir: t.TempDir()}
		if err := state.Prepare("test"); err != nil {
			t.Fatal(err)
		}
		s := &Store{State: state, Tool: "test"}
		v, err := s.Import(t.Context(), driver.ImportSpec{Name: "got", Max: most, Size: most}, bytes.NewReader(stream))
		list, listErr := s.List(t.Context())
		if listErr != nil {
			t.Fatal(listErr)
		}
		if err != nil {
			if !errors.Is(err, driver.ErrCorrupt) && !errors.Is(err, driver.ErrInvalid) && !errors.Is(err, driver.ErrUnsupported) && !errors.Is(err, driver.ErrRefused) {
				t.Errorf("an error without a class: %v", err)
			}
			if _, err := os.Lstat(state.VolumeImage("got")); err == nil || len(list) > 0 {
				t.Errorf("it is refused, and there: %v", list)
			}
			return
		}
		image, err := os.Open(v.Path)
		if err != nil {
			t.Fatal(err)
		}
		defer image.Close()
		if found, err := check.Check(image, v.Size); err != nil || len(found) > 0 || v.Size > most || len(list) != 1 {
			t.Errorf("%d bytes: %v, %v", v.Size, found, err)
		}
	})
}

func zstdOf(f *testing.F, data []byte) []byte {
	f.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		f.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(data, nil)
}

// smallImage is a disk with a file on it.
func smallImage(f *testing.F) []byte {
	f.Helper()
	out, err := os.Create(f.TempDir() + "/image")
	if err != nil {
		f.Fatal(err)
	}
	defer out.Close()
	b, err := build.New(out, build.Options{UUID: [16]byte{1}, HashSeed: [16]byte{2}, Time: time.Unix(1e9, 0)})
	if err != nil {
		f.Fatal(err)
	}
	defer b.Close()
	if err := b.File("d/f", ext4.Attr{Mode: 0o644}, 3, bytes.NewReader([]byte("abc"))); err != nil {
		f.Fatal(err)
	}
	if _, err := b.Finish(); err != nil {
		f.Fatal(err)
	}
	data, err := os.ReadFile(out.Name())
	if err != nil {
		f.Fatal(err)
	}
	return data
}
