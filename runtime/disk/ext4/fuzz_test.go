package ext4

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"testing"

	"microagent/runtime/disk/ext4/super"
)

// FuzzRead changes bytes of an image without checksums and looks at all that the reader then finds. Five bytes
// of input are a place among the blocks in use, and a value.
func FuzzRead(f *testing.F) {
	path, err := tryBuild(f, Options{}, func(b *Builder) error {
		a := attr(0o644)
		a.Xattrs = map[string][]byte{"user.a": []byte("b"), "user.large": random(1, 500)}
		sparse := make([]byte, 12*BlockSize)
		for i := 0; i < len(sparse); i += 2 * BlockSize {
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
			b.Device("c", ModeChar, 1, 3, a),
		)
	})
	if err != nil {
		f.Fatal(err)
	}
	base, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	ro := le.Uint32(base[super.Offset+0x64:])
	le.PutUint32(base[super.Offset+0x64:], ro&^uint32(super.MetadataCsum))
	var used []int
	for at := 0; at < len(base); at += BlockSize {
		if !zeroBlock(base[at : at+BlockSize]) {
			used = append(used, at)
		}
	}
	f.Add([]byte{})
	f.Add([]byte{0, 0, 4, 0x60, 0})
	for i := range len(used) {
		f.Add([]byte{0, byte(i), 0, 6, 5, 0, byte(i), 0, 2, 0xFF, 0, byte(i), 2, 0x28, 0x7F})
	}
	f.Fuzz(func(t *testing.T, patch []byte) {
		image := bytes.Clone(base)
		for ; len(patch) >= 5; patch = patch[5:] {
			block := int(patch[0])<<8 | int(patch[1])
			image[used[block%len(used)]+(int(patch[2])<<8|int(patch[3]))%BlockSize] = patch[4]
		}
		explore(t, image)
	})
}

// explore reads all that can be reached, each directory once.
func explore(t *testing.T, image []byte) {
	x, err := Open(bytes.NewReader(image), int64(len(image)))
	if err != nil {
		expected(t, err)
		return
	}
	_ = x.Info()
	seen := map[uint32]bool{}
	buf := make([]byte, 3*BlockSize)
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
	visit(rootIno)
	for _, path := range []string{"s", "d/../../f", "l/x"} {
		_, _ = x.Resolve(path, true)
	}
}

// expected fails for errors that no caller could give a class.
func expected(t *testing.T, err error) {
	t.Helper()
	if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, super.ErrNone) && !errors.Is(err, ErrUnsupported) {
		t.Errorf("error without a class: %v", err)
	}
}
