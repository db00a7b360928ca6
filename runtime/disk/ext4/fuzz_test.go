package ext4_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"testing"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/build"
	"microagent/runtime/disk/ext4/check"
	"microagent/runtime/disk/ext4/format"
	"microagent/runtime/disk/ext4/read"
	"microagent/runtime/disk/ext4/super"
)

// patched is an image without checksums, of which places among the blocks in use are changed: five bytes of a patch are
// block, offset and value.
type patched struct {
	base []byte
	used []int // where blocks in use begin
}

func newPatched(f *testing.F) patched {
	f.Helper()
	path, err := tryBuild(f, build.Options{}, func(b *build.Builder) error {
		a := attr(0o644)
		a.Xattrs = map[string][]byte{"user.a": []byte("b"), "user.large": random(1, 500)}
		sparse := make([]byte, 12*ext4.BlockSize)
		for i := 0; i < len(sparse); i += 2 * ext4.BlockSize {
			sparse[i] = 1
		}
		for i := range 150 {
			if err := file(b, fmt.Sprintf("d/some name that is long enough %d", i), nil); err != nil {
				return err
			}
		}
		return errors.Join(
			b.File("f", a, int64(len(sparse)), bytes.NewReader(sparse)),
			b.Symlink("s", "d/../f", attr(0)), b.Symlink("l", string(random(1, 100)), attr(0)),
			b.Device("c", ext4.ModeChar, 1, 3, a),
		)
	})
	if err != nil {
		f.Fatal(err)
	}
	var p patched
	if p.base, err = os.ReadFile(path); err != nil {
		f.Fatal(err)
	}
	ro := format.LE.Uint32(p.base[super.Offset+0x64:])
	format.LE.PutUint32(p.base[super.Offset+0x64:], ro&^uint32(super.MetadataCsum))
	for at := 0; at < len(p.base); at += ext4.BlockSize {
		if bytes.Count(p.base[at:at+ext4.BlockSize], []byte{0}) < ext4.BlockSize {
			p.used = append(p.used, at)
		}
	}
	f.Add([]byte{})
	f.Add([]byte{0, 0, 4, 0x60, 0})
	for i := range len(p.used) {
		f.Add([]byte{0, byte(i), 0, 6, 5, 0, byte(i), 0, 2, 0xFF, 0, byte(i), 2, 0x28, 0x7F})
	}
	return p
}

func (p patched) image(patch []byte) []byte {
	image := bytes.Clone(p.base)
	for ; len(patch) >= 5; patch = patch[5:] {
		block := int(patch[0])<<8 | int(patch[1])
		image[p.used[block%len(p.used)]+(int(patch[2])<<8|int(patch[3]))%ext4.BlockSize] = patch[4]
	}
	return image
}

// FuzzRead looks at all that the reader finds in a changed image.
func FuzzRead(f *testing.F) {
	p := newPatched(f)
	f.Fuzz(func(t *testing.T, patch []byte) { explore(t, p.image(patch), expected) })
}

// FuzzCheck: in an image that is said to be sound nothing is corrupt for who reads it.
func FuzzCheck(f *testing.F) {
	p := newPatched(f)
	f.Fuzz(func(t *testing.T, patch []byte) {
		image := p.image(patch)
		found, err := check.Check(bytes.NewReader(image), int64(len(image)))
		expected(t, err)
		if err != nil || len(found) > 0 {
			return
		}
		explore(t, image, func(t *testing.T, err error) {
			t.Helper()
			if expected(t, err); errors.Is(err, ext4.ErrCorrupt) {
				t.Errorf("sound, and then: %v", err)
			}
		})
	})
}

// explore reads all that can be reached, each directory once, and has every error judged.
func explore(t *testing.T, image []byte, expected func(*testing.T, error)) {
	x, err := read.Open(bytes.NewReader(image), int64(len(image)))
	if err != nil {
		expected(t, err)
		return
	}
	_ = x.Info()
	seen := map[uint32]bool{}
	buf := make([]byte, 3*ext4.BlockSize)
	var visit func(number uint32)
	visit = func(number uint32) {
		if seen[number] {
			return
		}
		seen[number] = true
		n, err := x.Inode(number)
		if err != nil {
			expected(t, err)
			return
		}
		if _, err := x.Xattrs(n); err != nil {
			expected(t, err)
		}
		if n.IsSymlink() {
			_, err = x.Readlink(n)
			expected(t, err)
		}
		if n.IsRegular() {
			file, err := x.File(n)
			if err != nil {
				expected(t, err)
				return
			}
			_, _ = file.ReadAt(buf, 0)
			_, _ = file.ReadAt(buf, max(file.Size()-100, 0))
		}
		if n.IsDir() {
			entries, err := x.ReadDir(n)
			expected(t, err)
			for _, e := range entries {
				visit(e.Inode)
			}
		}
	}
	visit(format.RootIno)
	for _, path := range []string{"s", "d/../../f", "l/x"} {
		_, _ = x.Resolve(path, true)
	}
}

// expected fails for errors that no caller could give a class.
func expected(t *testing.T, err error) {
	t.Helper()
	if err != nil && !errors.Is(err, ext4.ErrCorrupt) && !errors.Is(err, super.ErrNone) && !errors.Is(err, ext4.ErrUnsupported) {
		t.Errorf("error without a class: %v", err)
	}
}
