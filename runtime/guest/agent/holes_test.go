package agent

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestHolesStay: of a file with holes its data are sent, and it has them again where it comes to.
func TestHolesStay(t *testing.T) {
	const size = 1 << 30
	from, to := t.TempDir(), t.TempDir()
	f, err := os.Create(filepath.Join(from, "holes"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, at := range []int64{1 << 20, size - 3} {
		if _, err := f.WriteAt([]byte("end"), at); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(f.Name(), filepath.Join(from, "second")); err != nil {
		t.Fatal(err)
	}
	var sent bytes.Buffer
	out := &archive{w: tar.NewWriter(&sent), to: &sent, root: from, limit: 2 * size, left: 2 * size}
	if err := filepath.WalkDir(from, out.add); err != nil {
		t.Fatal(err)
	}
	if err := out.w.Close(); err != nil {
		t.Fatal(err)
	}
	if sent.Len() > 1<<20 {
		t.Errorf("%d bytes are sent", sent.Len())
	}
	root, err := os.OpenRoot(to)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := (&unpacker{root: root}).unpack(&sent); err != nil {
		t.Fatal(err)
	}
	got, err := os.Open(filepath.Join(to, "second"))
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(got.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	if st.Size != size || st.Nlink != 2 || st.Blocks*512 > 1<<20 {
		t.Errorf("%d bytes on %d, %d names", st.Size, st.Blocks*512, st.Nlink)
	}
	for at, want := range map[int64]string{1 << 20: "end", size - 3: "end", 5 << 20: "\x00\x00\x00"} {
		b := make([]byte, 3)
		if _, err := got.ReadAt(b, at); err != nil || string(b) != want {
			t.Errorf("at %d: %q, %v", at, b, err)
		}
	}
}
