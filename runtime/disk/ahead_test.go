package disk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"testing"
	"testing/synctest"

	"golang.org/x/sys/unix"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/driver"
)

// quickFiles give trees that list and open as those of a manifest do. before is called before each opening.
type quickFiles struct {
	hostFiles
	before func(name string)
}

func (q quickFiles) Sub(name string) (driver.Tree, error) {
	t, err := q.hostFiles.Sub(name)
	return quickTree{t, name, q.before}, err
}

type quickTree struct {
	driver.Tree
	dir    string
	before func(name string)
}

var _ driver.QuickTree = quickTree{}

func (q quickTree) List(name string) (all []driver.Name, err error) {
	list, err := os.ReadDir(path.Join(q.dir, name))
	for _, e := range list {
		all = append(all, driver.Name{Name: e.Name(), Type: e.Type()})
	}
	return all, err
}

func (q quickTree) OpenFile(name string) (int, fs.FileInfo, error) {
	if q.before != nil {
		q.before(path.Join(q.dir, name))
	}
	info, err := os.Lstat(path.Join(q.dir, name))
	if err != nil {
		return -1, nil, err
	}
	if !info.Mode().IsRegular() {
		return -1, nil, unix.ESTALE
	}
	fd, err := unix.Open(path.Join(q.dir, name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	return fd, info, err
}

// wide is a folder of more files than are open at a time, some as large as is read at once, and larger.
func wide(t *testing.T) string {
	dir := t.TempDir()
	tree(t, dir)
	for i := range 3 * aheadBatches * aheadFiles {
		write(t, fmt.Sprintf("%s/many/%d/f%04d", dir, i%7, i), string(bytes.Repeat([]byte{byte(i)}, i*37%9000)), 0o644)
	}
	for i, size := range []int{wholeSize - 1, wholeSize, wholeSize + 1, 3 << 20} {
		write(t, fmt.Sprintf("%s/many/3/f%04da", dir, i), string(bytes.Repeat([]byte("large "), size/6+1)[:size]), 0o755)
	}
	return dir
}

// TestReadingAheadIsTheSame: a tree that lists and opens quickly gives the digest, the marks and the disk of any other.
func TestReadingAheadIsTheSame(t *testing.T) {
	dir := wide(t)
	var first driver.BundleDigest
	var disk [32]byte
	for i, files := range []driver.Files{hostFiles{}, quickFiles{}} {
		image, digest, err := newDisks(t, nil).Bundle(t.Context(), driver.BundleSource{Files: files, Path: dir}, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(image.Path)
		if err != nil {
			t.Fatal(err)
		}
		digest.Fingerprint.Taken = 0
		if i == 0 {
			first, disk = digest, sha256.Sum256(data)
		} else if digest != first || sha256.Sum256(data) != disk {
			t.Errorf("%+v, want %+v", digest, first)
		}
	}
}

// TestReadingAheadEnds: whatever ends the reading, all of it is over, and no file is open any more.
func TestReadingAheadEnds(t *testing.T) {
	dir := wide(t)
	count := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	d := newDisks(t, nil)
	victim := dir + "/many/3/f0101"
	for name, c := range map[string]struct {
		before func(name string, cancel func())
		want   error
	}{
		"nothing":      {func(string, func()) {}, nil},
		"cancelled":    {func(_ string, cancel func()) { cancel() }, context.Canceled},
		"went away":    {func(name string, _ func()) { _ = os.Remove(name) }, driver.ErrStale},
		"another kind": {func(name string, _ func()) { _ = os.Remove(name); _ = unix.Mkfifo(name, 0o600) }, driver.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			_ = os.Remove(victim)
			write(t, victim, "text", 0o644)
			before := count()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			files := quickFiles{before: func(name string) {
				if name == victim {
					c.before(name, cancel)
				}
			}}
			if _, err := d.DigestBundle(ctx, driver.BundleSource{Files: files, Path: dir}, nil); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if after := count(); after != before {
				t.Errorf("%d descriptors, %d before", after, before)
			}
		})
	}
}

// TestReadingAheadIsGivenUp while all batches are on their way to a reader: it gets all of them, and ends.
func TestReadingAheadIsGivenUp(t *testing.T) {
	dir, state := wide(t), t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := openSource(driver.BundleSource{Files: quickFiles{}, Path: dir}, state)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		read := 0
		err = s.readAhead(ctx, func(*content) error {
			if read++; read == 1 {
				synctest.Wait() // nobody has an empty one
				cancel()
				synctest.Wait()
			}
			return nil
		})
		if !errors.Is(err, context.Canceled) || read < (aheadBatches-1)*aheadFiles {
			t.Errorf("%d read, %v", read, err)
		}
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
}

// TestFilesThatChangeWhenOpen: a small file has the size that it had when it was opened, or is refused.
func TestFilesThatChangeWhenOpen(t *testing.T) {
	file := t.TempDir() + "/f"
	for _, data := range []string{"", "text", "text and more"} {
		write(t, file, "text", 0o644)
		info, err := os.Lstat(file)
		if err != nil {
			t.Fatal(err)
		}
		fd, err := unix.Open(file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		write(t, file, data, 0o644)
		h := newHasher()
		c := &content{element: element{rel: "f", info: info, file: fd}}
		err = newWhole().read(c, ext4.Attr{}, newEmptyTree(), h)
		if want := data != "text"; want != errors.Is(err, driver.ErrStale) {
			t.Errorf("%q: %v", data, err)
		}
		h.stop()
		c.close()
	}
}
