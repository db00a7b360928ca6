package ext4_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/build"
	"microagent/runtime/disk/ext4/edit"
	"microagent/testscripts/lane"
)

var editTime = time.Date(2024, 2, 3, 4, 5, 6, 7, time.UTC)

// change edits an image and checks it with e2fsck.
func change(t testing.TB, path string, do func(e *edit.Editor) error) {
	t.Helper()
	if err := tryChange(t, path, do); err != nil {
		t.Fatal(err)
	}
	fsck(t, path)
}

func tryChange(t testing.TB, path string, do func(e *edit.Editor) error) error {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	e, err := edit.Open(f, st.Size(), editTime)
	if err != nil {
		return err
	}
	if err := do(e); err != nil {
		return err
	}
	return e.Commit()
}

// write puts a file at a path whose directory is there.
func write(e *edit.Editor, path string, data []byte) error {
	dir, err := e.Resolve(filepath.Dir(path), true)
	if err != nil {
		return err
	}
	_, err = e.WriteFile(dir, filepath.Base(path), ext4.Attr{Mode: 0o640, UID: 7, GID: 70000, Mtime: editTime}, bytes.NewReader(data))
	return err
}

func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(uint64(n), 1))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// images are file systems of every kind that can be edited.
func images(t *testing.T, run func(t *testing.T, path string)) {
	for name, make := range map[string]func(t *testing.T) string{
		"ours":    func(t *testing.T) string { return buildImage(t, build.Options{Size: 300 << 20, Journal: true}, nil) },
		"mke2fs":  func(t *testing.T) string { return mke2fs(t, "300M", "-b", "4096") },
		"1k":      func(t *testing.T) string { return mke2fs(t, "100M", "-b", "1024") },
		"2k":      func(t *testing.T) string { return mke2fs(t, "100M", "-b", "2048", "-O", "^64bit") },
		"no csum": func(t *testing.T) string { return mke2fs(t, "300M", "-b", "4096", "-O", "^metadata_csum") },
		"old": func(t *testing.T) string {
			return mke2fs(t, "100M", "-b", "1024", "-I", "128", "-O", "^metadata_csum,^64bit,^flex_bg,^dir_index,^huge_file")
		},
		"no flex_bg": func(t *testing.T) string { return mke2fs(t, "300M", "-b", "4096", "-O", "^flex_bg,^resize_inode") },
		"meta_bg":    func(t *testing.T) string { return mke2fs(t, "600M", "-b", "1024", "-O", "meta_bg,^resize_inode") },
		"sparse 2":   func(t *testing.T) string { return mke2fs(t, "300M", "-b", "1024", "-O", "sparse_super2,^resize_inode") },
		"large inode": func(t *testing.T) string {
			return mke2fs(t, "300M", "-b", "4096", "-I", "512", "-O", "metadata_csum_seed")
		},
		"no index":    func(t *testing.T) string { return mke2fs(t, "300M", "-b", "4096", "-O", "^dir_index") },
		"small group": func(t *testing.T) string { return mke2fs(t, "300M", "-b", "4096", "-g", "8192") },
	} {
		t.Run(name, func(t *testing.T) { run(t, make(t)) })
	}
}

func TestEditFiles(t *testing.T) {
	images(t, func(t *testing.T, path string) {
		big := noise(5<<20 + 123)
		change(t, path, func(e *edit.Editor) error {
			root, err := e.Root()
			if err != nil {
				return err
			}
			_, _, err = e.Mkdir(root, "d", ext4.Attr{Mode: 0o2750, UID: 3, GID: 4, Mtime: editTime})
			return errors.Join(err, write(e, "/d/a", []byte("first")), write(e, "/d/empty", nil), write(e, "/big", big),
				e.Symlink(root, "short", "d/a", attr(0)), e.Symlink(root, "long", strings.Repeat("x/", 100), attr(0)))
		})
		x := open(t, path)
		if got := content(t, x, "big"); !bytes.Equal(got, big) {
			t.Error("big differs")
		}
		n, err := x.Resolve("short", true)
		if err != nil || n.Mode != ext4.ModeRegular|0o640 || n.UID != 7 || n.GID != 70000 || n.Mtime.Unix() != editTime.Unix() || n.Links != 1 {
			t.Errorf("%+v, %v", n, err)
		}
		if d, err := x.Resolve("d", true); err != nil || d.Mode != ext4.ModeDir|0o2750 || d.Links != 2 {
			t.Errorf("%+v, %v", d, err)
		}
		free := x.Info().Free
		// Replacing gives back what the former file had.
		for i := range 3 {
			change(t, path, func(e *edit.Editor) error { return write(e, "/big", noise(3<<20+i)) })
		}
		x = open(t, path)
		if got := content(t, x, "big"); !bytes.Equal(got, noise(3<<20+2)) {
			t.Error("big was not replaced")
		}
		if got := x.Info().Free; got < free+1<<20 {
			t.Errorf("%d bytes are free, after %d", got, free)
		}
		change(t, path, func(e *edit.Editor) error {
			return errors.Join(write(e, "/long", []byte("now a file")), write(e, "/short", nil))
		})
	})
}

// TestEditManyNames fills directories one by one until their indexes split at every level.
func TestEditManyNames(t *testing.T) {
	images(t, func(t *testing.T, path string) {
		count := lane.Count(2000, 3000)
		name := func(i int) string { return fmt.Sprintf("%d-%s", i*7919%count, strings.Repeat("n", 10+i%60)) }
		change(t, path, func(e *edit.Editor) error {
			root, err := e.Root()
			if err != nil {
				return err
			}
			d, _, err := e.Mkdir(root, "many", attr(0o755))
			if err != nil {
				return err
			}
			for i := range count {
				if err := e.Symlink(d, name(i), "x", attr(0)); err != nil {
					return fmt.Errorf("%d: %w", i, err)
				}
				if e.Full() {
					if err := e.Commit(); err != nil {
						return err
					}
				}
			}
			return nil
		})
		x := open(t, path)
		d, err := x.Resolve("many", true)
		if err != nil {
			t.Fatal(err)
		}
		list, err := x.ReadDir(d)
		if err != nil || len(list) != count {
			t.Fatalf("%d names, %v", len(list), err)
		}
		change(t, path, func(e *edit.Editor) error {
			for i := range count {
				if _, made, err := e.Mkdir(d, name(i), ext4.Attr{}); made || !errors.Is(err, ext4.ErrCorrupt) { // found: it is no directory
					return fmt.Errorf("%s is not found: %w", name(i), err)
				}
			}
			return write(e, "/many/"+name(count/2), []byte("replaced"))
		})
		if got := content(t, open(t, path), "many/"+name(count/2)); string(got) != "replaced" {
			t.Errorf("%q", got)
		}
	})
}

// TestEditKernelsDirectories adds to directories that the kernel made, and lets the kernel work on with the result.
func TestEditKernelsDirectories(t *testing.T) {
	theirs, ours := lane.Count(700, 2000), lane.Count(150, 500)
	path := crashed(t, mke2fs(t, "64M", "-b", "1024"), fmt.Sprintf(`
		mkdir $D/d; for i in $(seq %d); do : > $D/d/kernel-$i; done; sync -f $D`, theirs))
	change(t, path, func(e *edit.Editor) error {
		for i := range ours {
			if err := write(e, fmt.Sprintf("/d/ours-%d-ü-\xff", i), []byte{byte(i)}); err != nil {
				return err
			}
		}
		return nil
	})
	again := crashed(t, path, fmt.Sprintf(`
		for i in $(seq %d); do rm $D/d/kernel-$i; done
		for i in $(seq 0 %d); do test -e "$D/d/ours-$i-ü-$(printf '\377')"; done
		for i in $(seq %d); do : > $D/d/new-$i; done
		sync -f $D`, theirs, ours-1, 2*ours))
	fsck(t, path) // unmounted by now
	change(t, again, func(e *edit.Editor) error { return write(e, "/d/new-7", []byte("7")) })
}

// TestEditUnsignedHash: file systems made where characters have no sign.
func TestEditUnsignedHash(t *testing.T) {
	path := mke2fs(t, "64M", "-b", "1024")
	f, _ := device(t, path)
	x := open(t, path)
	x.Super.Flags = 2 // unsigned_directory_hash
	if err := edit.WriteSuper(f, &x.Super); err != nil {
		t.Fatal(err)
	}
	change(t, path, func(e *edit.Editor) error {
		for i := range 500 {
			if err := write(e, fmt.Sprintf("/\xff\xfe-ü-%d", i), nil); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestEditHoles(t *testing.T) {
	path := buildImage(t, build.Options{Size: 64 << 20, Journal: true}, nil)
	src, err := os.Create(filepath.Join(t.TempDir(), "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	const size = 6<<30 + 5
	for off, s := range map[int64]string{0: "begin", 3<<30 + 777: "middle", size - 3: "end"} {
		if _, err := src.WriteAt([]byte(s), off); err != nil {
			t.Fatal(err)
		}
	}
	change(t, path, func(e *edit.Editor) error {
		root, err := e.Root()
		if err != nil {
			return err
		}
		n, err := e.WriteFile(root, "sparse", attr(0o600), &seeker{src, 0})
		if n != size {
			t.Errorf("%d bytes were written", n)
		}
		return errors.Join(err, write(e, "/zeros", append(make([]byte, 1<<20), 1)))
	})
	x := open(t, path)
	n, err := x.Resolve("sparse", true)
	if err != nil {
		t.Fatal(err)
	}
	file, err := x.File(n)
	if err != nil || file.Size() != size || len(file.Extents()) != 3 {
		t.Fatalf("%+v, %v", file, err)
	}
	b := make([]byte, 6)
	if _, err := file.ReadAt(b, 3<<30+777); err != nil || string(b) != "middle" {
		t.Errorf("%q, %v", b, err)
	}
	if z, err := x.Resolve("zeros", true); err != nil || z.Rec.Sectors != 8 {
		t.Errorf("zeros take %d sectors, %v", z.Rec.Sectors, err)
	}
}

// seeker is a source that knows its holes.
type seeker struct {
	*os.File
	at int64
}

func (s *seeker) Skip() (int64, error) {
	to, err := s.Seek(s.at, 3) // SEEK_DATA
	if err != nil {
		if to, err = s.Seek(0, io.SeekEnd); err != nil {
			return 0, err
		}
	}
	n := to - s.at
	s.at = to
	return n, nil
}

func (s *seeker) Read(p []byte) (int, error) {
	n, err := s.File.Read(p)
	s.at += int64(n)
	return n, err
}

func TestEditFullDisk(t *testing.T) {
	path := buildImage(t, build.Options{Size: 32 << 20, Journal: true}, func(b *build.Builder) error { return file(b, "old", []byte("old")) })
	err := tryChange(t, path, func(e *edit.Editor) error { return write(e, "/old", noise(40<<20)) })
	if !errors.Is(err, ext4.ErrTooLarge) {
		t.Fatalf("%v", err)
	}
	fsck(t, path)
	if got := content(t, open(t, path), "old"); string(got) != "old" {
		t.Errorf("the old file holds %q", got)
	}
	// Up to the last block, and all inodes.
	free := open(t, path).Info().Free
	change(t, path, func(e *edit.Editor) error { return write(e, "/all", noise(int(free))) })
	if got := open(t, path).Info().Free; got != 0 {
		t.Errorf("%d bytes are free", got)
	}
	err = tryChange(t, path, func(e *edit.Editor) error { return write(e, "/more", []byte("x")) })
	if !errors.Is(err, ext4.ErrTooLarge) {
		t.Errorf("%v", err)
	}
	change(t, path, func(e *edit.Editor) error { return write(e, "/none", nil) })
	err = tryChange(t, path, func(e *edit.Editor) error {
		for i := range 1 << 16 {
			if err := write(e, "/old", nil); err != nil {
				return err
			}
			root, err := e.Root()
			if err != nil {
				return err
			}
			if err := e.Symlink(root, fmt.Sprint(i), "x", attr(0)); err != nil {
				return err
			}
		}
		return nil
	})
	if !errors.Is(err, ext4.ErrTooLarge) {
		t.Errorf("%v", err)
	}
	fsck(t, path)
}

func TestEditRefuses(t *testing.T) {
	for name, c := range map[string]struct{ path, why string }{
		"no journal": {mke2fs(t, "32M", "-O", "^has_journal"), "a file system without a journal can't be changed safely"},
		"ext3":       {mke2fs(t, "32M", "-O", "^extents,^64bit"), "a file system without the features extent can't be written without a kernel"},
		"quota":      {mke2fs(t, "32M", "-O", "quota"), "features that can't be written without a kernel: quota"},
		"project":    {mke2fs(t, "32M", "-O", "quota,project"), "features that can't be written without a kernel: quota, project"},
		"bigalloc":   {mke2fs(t, "64M", "-O", "bigalloc"), "features that can't be written without a kernel: bigalloc"},
		"casefold":   {mke2fs(t, "32M", "-O", "casefold"), "features that can't be written without a kernel: casefold"},
		"uninit_bg":  {mke2fs(t, "32M", "-O", "^metadata_csum,uninit_bg"), "features that can't be written without a kernel: uninit_bg"},
	} {
		err := tryChange(t, c.path, func(e *edit.Editor) error { return write(e, "/x", nil) })
		if !errors.Is(err, ext4.ErrUnsupported) || !strings.HasSuffix(err.Error(), ": "+c.why) {
			t.Errorf("%s: %v", name, err)
		}
	}
	path := mke2fs(t, "32M")
	for _, name := range []string{"", ".", "..", "a/b", "nul\x00", strings.Repeat("x", 256)} {
		err := tryChange(t, path, func(e *edit.Editor) error {
			root, err := e.Root()
			if err != nil {
				return err
			}
			_, err = e.WriteFile(root, name, attr(0o600), strings.NewReader(""))
			return err
		})
		if !errors.Is(err, ext4.ErrInvalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := tryChange(t, path, func(e *edit.Editor) error { return write(e, "/lost+found", nil) }); !errors.Is(err, ext4.ErrInvalid) {
		t.Errorf("a directory was replaced: %v", err)
	}
}
