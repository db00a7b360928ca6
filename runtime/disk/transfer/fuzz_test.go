package transfer

import (
	"archive/tar"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"microagent/runtime/disk/sparse"
	"microagent/runtime/driver"
	"microagent/runtime/drivertest"
	"microagent/runtime/tartree"
)

// FuzzUnpack takes any bytes for what a guest sends: nothing is written beside the copy, no link leads out of it, and it takes
// no more room of the host than the guest has.
func FuzzUnpack(f *testing.F) {
	dir := drivertest.Entry{Name: ".", Type: tar.TypeDir, Mode: 0o755}
	f.Add(true, drivertest.Tar(f, dir, drivertest.Entry{Name: "a", Data: "1"}, drivertest.Entry{Name: "l", Type: tar.TypeSymlink, Link: "a"}, drivertest.Entry{Name: "h", Type: tar.TypeLink, Link: "a"}))
	f.Add(true, drivertest.Tar(f, dir, drivertest.Entry{Name: "l", Type: tar.TypeSymlink, Link: ".."}, drivertest.Entry{Name: "l/beside", Data: "1"}))
	f.Add(false, drivertest.Tar(f, drivertest.Entry{Name: ".", Data: "1", Mode: 0o4777}))
	f.Add(false, holed(f))
	f.Fuzz(func(t *testing.T, tree bool, stream []byte) {
		const limit = 1 << 20
		top := t.TempDir()
		var out driver.Copied
		s, err := NewSink(top, "copy", tree, &out)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		err = Unpack(t.Context(), bytes.NewReader(stream), s, limit)
		if err == nil {
			err = s.Finish()
		}
		if err != nil && !errors.Is(err, driver.ErrCorrupt) && !errors.Is(err, driver.ErrRefused) && !errors.Is(err, driver.ErrInvalid) && !errors.As(err, new(syscall.Errno)) {
			t.Errorf("an error without a class: %v", err)
		}
		if list, _ := os.ReadDir(top); len(list) > 1 || len(list) == 1 && list[0].Name() != "copy" {
			t.Errorf("beside the copy: %v", list)
		}
		taken, files := int64(0), int64(0)
		err = filepath.WalkDir(top, func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			files++
			taken += info.Sys().(*syscall.Stat_t).Blocks * 512
			if end, err := filepath.EvalSymlinks(p); err == nil && !strings.HasPrefix(end, filepath.Join(top, "copy")) {
				t.Errorf("%s leads to %s", p, end)
			}
			return nil
		})
		if err != nil && !errors.Is(err, fs.ErrPermission) || taken > limit+files*8192 {
			t.Errorf("%d bytes in %d files, %v", taken, files, err)
		}
	})
}

// holed is a file of 1 GiB that came without its holes.
func holed(f *testing.F) []byte {
	f.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	h := &tar.Header{Name: ".", Mode: 0o600, Size: 1 << 30}
	if err := errors.Join(tartree.WriteSparse(w, &b, h, []sparse.Run{{Offset: 1 << 20, Length: 3}}, ones{}), w.Close()); err != nil {
		f.Fatal(err)
	}
	return b.Bytes()
}

type ones struct{}

func (ones) ReadAt(p []byte, _ int64) (int, error) {
	for i := range p {
		p[i] = 1
	}
	return len(p), nil
}
