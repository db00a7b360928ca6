package ext4_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/edit"
	"microagent/runtime/disk/ext4/format"
)

// A link is another name of one file, also in the place of others; the last name that goes takes the file along.
func TestLink(t *testing.T) {
	images(t, func(t *testing.T, path string) {
		var number uint32
		change(t, path, func(e *edit.Editor) error {
			root, err := e.Root()
			if err != nil {
				return err
			}
			if err := errors.Join(write(e, "/first", []byte("content")), write(e, "/other", []byte("else")), e.Symlink(root, "sym", "other", ext4.Attr{})); err != nil {
				return err
			}
			n, err := e.Resolve("/first", false)
			if err != nil {
				return err
			}
			number = n.Number
			for _, name := range []string{"second", "other", "sym", "second", "first"} {
				if err := e.Link(root, name, number); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
			return nil
		})
		x := open(t, path)
		for _, name := range []string{"/first", "/second", "/other", "/sym"} {
			if n, err := x.Resolve(name, false); err != nil || n.Number != number || n.Links != 4 {
				t.Errorf("%s: inode %d with %d links, %v", name, n.Number, n.Links, err)
			}
		}
		change(t, path, func(e *edit.Editor) error {
			return errors.Join(write(e, "/first", nil), write(e, "/second", nil), write(e, "/other", nil), write(e, "/sym", nil))
		})
	})
}

// A file has so many names and no more, and only regular files have several.
func TestLinkRefuses(t *testing.T) {
	path := mke2fs(t, "8M", "-O", "^metadata_csum")
	change(t, path, func(e *edit.Editor) error { return write(e, "/file", nil) })
	x := open(t, path)
	n, err := x.Resolve("/file", false)
	if err != nil {
		t.Fatal(err)
	}
	at, err := x.RecordAt(n.Number)
	if err != nil {
		t.Fatal(err)
	}
	f, _ := device(t, path)
	if _, err := f.WriteAt(binary.LittleEndian.AppendUint16(nil, format.MaxLinks), at+0x1A); err != nil {
		t.Fatal(err)
	}
	err = tryChange(t, path, func(e *edit.Editor) error {
		root, err := e.Root()
		if err != nil {
			return err
		}
		if err := e.Link(root, "dir", root.Number); !errors.Is(err, ext4.ErrCorrupt) {
			t.Errorf("a directory: %v", err)
		}
		if err := e.Link(root, "more", n.Number); !errors.Is(err, edit.ErrManyLinks) {
			t.Errorf("one more: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
