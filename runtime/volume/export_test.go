package volume

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

	"microagent/runtime/disk/ext4/super"
	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

func export(t *testing.T, s *Store, source string, as driver.ExportForm) []byte {
	t.Helper()
	var out bytes.Buffer
	if _, err := s.Export(t.Context(), source, as, &out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// plain is what zstd itself makes of a stream, in a file with holes.
func plain(t *testing.T, packed []byte) string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "disk.zst")
	if err := os.WriteFile(path, packed, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("zstd", "-q", "-d", "--sparse", path, "-o", filepath.Join(dir, "disk")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return filepath.Join(dir, "disk")
}

// TestExportAndImport: what zstd unpacks is the disk, without what was deleted on it; what is imported again is the same.
func TestExportAndImport(t *testing.T) {
	s := ours(t)
	v := withFile(t, s, "data", "hello")
	secret := strings.Repeat("deleted long ago ", 4000)
	put(t, v.Path, "gone", secret)
	debugfs(t, v.Path, "rm gone")
	packed := export(t, s, "data", driver.ExportImage)
	disk := plain(t, packed)
	fsck(t, disk)
	raw, err := os.ReadFile(disk)
	if err != nil || int64(len(raw)) != v.Size || bytes.Contains(raw, []byte("deleted long ago deleted long ago")) {
		t.Errorf("%d bytes, %v", len(raw), err)
	}
	if before, err := os.ReadFile(v.Path); err != nil || !bytes.Contains(before, []byte("deleted long ago deleted long ago")) {
		t.Errorf("the volume does not hold what was deleted: %v", err)
	}
	if c := fileOf(t, disk, "file"); c != "hello" {
		t.Errorf("it holds %q", c)
	}
	holes, err := os.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer holes.Close()
	for name, stream := range map[string]io.Reader{"packed": bytes.NewReader(packed), "raw": bytes.NewReader(raw), "file": holes} {
		got, err := s.Import(t.Context(), driver.ImportSpec{Name: name, Max: driver.ImportMax}, stream)
		if err != nil {
			t.Fatal(err)
		}
		if digest(t, got.Path) != digest(t, disk) || got.Allocated > v.Allocated+1<<20 {
			t.Errorf("%s: imported: %+v", name, got)
		}
	}
	if _, err := s.Import(t.Context(), driver.ImportSpec{Name: "packed", Max: driver.ImportMax}, bytes.NewReader(packed)); !errors.Is(err, driver.ErrExists) {
		t.Errorf("over another: %v", err)
	}
}

// TestExportOfTree: GNU tar reads the files, and a volume of the tar has them.
// TestExportToAFullPlace says that it is not the state directory which is full.
func TestExportToAFullPlace(t *testing.T) {
	s := ours(t)
	withFile(t, s, "data", "hello")
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for _, as := range []driver.ExportForm{driver.ExportImage, driver.ExportTar} {
		_, err := s.Export(t.Context(), "data", as, full)
		if !errors.Is(err, driver.ErrNoSpace) || driver.Next(err) != "free some space where the file goes" {
			t.Errorf("%s: %v, next %s", as, err, driver.Next(err))
		}
	}
}

func TestExportOfTree(t *testing.T) {
	s := ours(t)
	v := withFile(t, s, "data", "hello")
	debugfs(t, v.Path, "mkdir dir", "symlink link file", "cd dir", "mknod pipe p", "ln /file hard", "sif file uid 1000", "ea_set /file user.note kept", "sif /file links_count 2")
	files := export(t, s, "data", driver.ExportTar)
	cmd := exec.Command("tar", "-tvf", "-", "--xattrs")
	cmd.Stdin = bytes.NewReader(files)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "link -> file") || !strings.Contains(string(out), "dir/hard") || strings.Contains(string(out), "pipe") {
		t.Errorf("%v: %s", err, out)
	}
	got, err := s.Import(t.Context(), driver.ImportSpec{Name: "copy", Size: 32 << 20, Max: driver.ImportMax}, bytes.NewReader(files))
	if err != nil {
		t.Fatal(err)
	}
	fsck(t, got.Path)
	if c := fileOf(t, got.Path, "dir/hard"); c != "hello" || got.Size != 32<<20 {
		t.Errorf("%q in %+v", c, got)
	}
	if _, err := s.Import(t.Context(), driver.ImportSpec{Name: "small", Size: 1 << 20, Max: driver.ImportMax}, bytes.NewReader(files)); !strings.Contains(driver.Next(err), "--size ") {
		t.Errorf("too small: %v, next %q", err, driver.Next(err))
	}
}

// TestExportOfHolesToAFile: the same bytes as a stream has, and what is a hole on the volume takes no room.
func TestExportOfHolesToAFile(t *testing.T) {
	s := ours(t)
	var in bytes.Buffer
	w := tar.NewWriter(&in)
	data := make([]byte, 12<<20)
	copy(data[5000:], "text")
	if err := errors.Join(w.WriteHeader(&tar.Header{Name: "file", Mode: 0o644, Size: int64(len(data))}), err2(w.Write(data)), w.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Import(t.Context(), driver.ImportSpec{Name: "data", Size: 16 << 20, Max: driver.ImportMax}, &in); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "data.tar")
	draft, err := layout.NewDraft(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer draft.Close()
	got, err := s.Export(t.Context(), "data", driver.ExportTar, draft)
	if err := errors.Join(err, draft.Publish()); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if file, err := os.ReadFile(path); err != nil || !bytes.Equal(file, export(t, s, "data", driver.ExportTar)) || got.Written != info.Size() {
		t.Errorf("%d bytes, %d told, %v", len(file), got.Written, err)
	}
	if room := layout.Allocated(info); room > 64<<10 {
		t.Errorf("it takes %d bytes", room)
	}
}

// err2 is the error of a call that gives a number as well.
func err2(_ int, err error) error { return err }

// TestImportOfHostileStreams: each is refused in words, and nothing is left.
func TestImportOfHostileStreams(t *testing.T) {
	s := ours(t)
	v := withFile(t, s, "data", "hello")
	raw, err := os.ReadFile(v.Path)
	if err != nil {
		t.Fatal(err)
	}
	changed := func(f func(*super.Superblock)) []byte {
		b := bytes.Clone(raw)
		sb, err := super.Parse(b[super.Offset:])
		if err != nil {
			t.Fatal(err)
		}
		f(&sb)
		copy(b[super.Offset:], sb.Encode())
		return b
	}
	var outside bytes.Buffer
	w := tar.NewWriter(&outside)
	if err := errors.Join(w.WriteHeader(&tar.Header{Name: "../../outside", Typeflag: tar.TypeReg, Size: 1}), writeOne(w), w.Close()); err != nil {
		t.Fatal(err)
	}
	debugfs(t, v.Path, "sif file links_count 7")
	wrong, err := os.ReadFile(v.Path)
	if err != nil {
		t.Fatal(err)
	}
	if found, err := s.Check(t.Context(), "data"); err != nil || len(found) != 1 || !strings.Contains(found[0], "links") {
		t.Errorf("check: %q, %v", found, err)
	}
	pages := filepath.Join(t.TempDir(), "pages")
	if out, err := exec.Command("mke2fs", "-q", "-F", "-F", "-t", "ext4", "-b", "8192", pages, "4096").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	large, err := os.ReadFile(pages)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		stream []byte
		class  error
		words  string
	}{
		"nothing":          {nil, driver.ErrInvalid, "neither"},
		"text":             {bytes.Repeat([]byte("text "), 2000), driver.ErrInvalid, "neither"},
		"cut":              {raw[:len(raw)/2], driver.ErrCorrupt, "ends after"},
		"packed and cut":   {export(t, s, "data", driver.ExportImage)[:800], driver.ErrCorrupt, ""},
		"huge":             {changed(func(sb *super.Superblock) { sb.Blocks = 1 << 40 }), driver.ErrRefused, "at most 64 GiB"},
		"long":             {append(bytes.Clone(raw), 0, 1), driver.ErrCorrupt, "behind"},
		"external journal": {changed(func(sb *super.Superblock) { sb.JournalInode = 0 }), driver.ErrUnsupported, "journal"},
		"unknown feature":  {changed(func(sb *super.Superblock) { sb.Incompat |= 1 << 30 }), driver.ErrUnsupported, "FEATURE_I30"},
		"large blocks":     {large, driver.ErrUnsupported, "blocks of 8192 bytes"},
		"encrypted":        {changed(func(sb *super.Superblock) { sb.Incompat |= super.Encrypt }), driver.ErrUnsupported, "encrypt"},
		"bad checksum":     {append(append(bytes.Clone(raw[:super.Offset+0x78]), 0xFF), raw[super.Offset+0x79:]...), driver.ErrCorrupt, "checksum"},
		"wrong count":      {wrong, driver.ErrCorrupt, "links"},
		"outside":          {outside.Bytes(), driver.ErrInvalid, "outside"},
	} {
		_, err := s.Import(t.Context(), driver.ImportSpec{Name: "new", Max: driver.ImportMax}, bytes.NewReader(c.stream))
		if !errors.Is(err, c.class) || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A bomb: 1 TiB of zeros behind a small file system, in a few KiB.
	bomb := io.MultiReader(bytes.NewReader(raw), zeros{})
	if _, err := s.Import(t.Context(), driver.ImportSpec{Name: "new", Max: 64 << 20}, bomb); !errors.Is(err, driver.ErrRefused) {
		t.Errorf("a bomb: %v", err)
	}
	entries, err := os.ReadDir(s.State.Volumes())
	if err != nil || len(entries) != 2 {
		t.Errorf("left: %v, %v", entries, err)
	}
}

func writeOne(w io.Writer) error { _, err := w.Write([]byte{1}); return err }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
