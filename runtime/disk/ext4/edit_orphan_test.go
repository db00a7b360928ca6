package ext4_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"microagent/runtime/disk/ext4/build"
	"microagent/runtime/disk/ext4/edit"
	"microagent/runtime/disk/ext4/format"
)

// TestEditKeepsOrphans: an inode that was open and without a name when the guest died stays the kernel's to delete.
func TestEditKeepsOrphans(t *testing.T) {
	image := mke2fs(t, "64M", "-b", "1024")
	saved := filepath.Join(t.TempDir(), "copy")
	t.Setenv("IMAGE", image)
	t.Setenv("COPY", saved)
	crashed(t, image, `
		exec 3> $D/orphan; head -c 100000 /dev/zero >&3; rm $D/orphan; echo x > $D/x; sync -f $D
		cp --sparse=always $IMAGE $COPY`)
	if err := tryChange(t, saved, func(e *edit.Editor) error {
		if e.Super.LastOrphan == 0 {
			t.Error("there is no orphan")
		}
		return errors.Join(write(e, "/x", noise(10000)), write(e, "/y", noise(20000)))
	}); err != nil {
		t.Fatal(err)
	}
	crashed(t, saved, `test "$(stat -c %s $D/y)" = 20000`)
	fsck(t, saved)
}

// TestEditReplacesOrphans: a file that the kernel still has to truncate leaves the list when it is replaced.
func TestEditReplacesOrphans(t *testing.T) {
	for _, order := range [][]string{{"/a", "/b", "/c"}, {"/c", "/b", "/a"}, {"/b", "/a", "/c"}} {
		path := buildImage(t, build.Options{Size: 32 << 20, Journal: true}, func(b *build.Builder) error {
			return errors.Join(file(b, "a", []byte("a")), file(b, "b", []byte("b")), file(b, "c", []byte("c")))
		})
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		x := open(t, path)
		next := uint32(0)
		for _, name := range []string{"c", "b", "a"} { // the list goes from a to c
			n, err := x.Resolve(name, true)
			if err != nil {
				t.Fatal(err)
			}
			at, err := x.RecordAt(n.Number)
			if err != nil {
				t.Fatal(err)
			}
			rec := n.Rec
			rec.Dtime = next
			b := make([]byte, format.InodeSize)
			rec.Put(b, x.Seed, n.Number)
			if _, err := f.WriteAt(b, at); err != nil {
				t.Fatal(err)
			}
			next = n.Number
		}
		x.Super.LastOrphan = next
		if err := errors.Join(edit.WriteSuper(f, &x.Super), f.Close()); err != nil {
			t.Fatal(err)
		}
		for _, name := range order {
			if err := tryChange(t, path, func(e *edit.Editor) error { return write(e, name, []byte("new")) }); err != nil {
				t.Fatal(err)
			}
		}
		fsck(t, path)
		if left := open(t, path).Super.LastOrphan; left != 0 {
			t.Errorf("%v: inode %d is left on the list", order, left)
		}
	}
}
