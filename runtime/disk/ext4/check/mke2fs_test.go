package check

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"microagent/runtime/disk/ext4/format"
	"microagent/runtime/disk/ext4/read"
	"microagent/runtime/disk/ext4/super"
)

// mke2fs makes an image of that many MiB with some files, as other tools and installers do.
func mke2fs(t *testing.T, mib int64, args ...string) []byte {
	t.Helper()
	root, path := t.TempDir(), filepath.Join(t.TempDir(), "image")
	for i := range 40 {
		dir := filepath.Join(root, fmt.Sprintf("dir%d", i%3))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("file-%d", i)), bytes.Repeat([]byte{byte(i)}, i*i*100), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	args = append([]string{"-q", "-F", "-t", "ext4", "-d", root}, append(args, path, fmt.Sprintf("%dM", mib))...)
	if out, err := exec.Command("mke2fs", args...).CombinedOutput(); err != nil {
		t.Skipf("mke2fs %v: %v: %s", args, err, out)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestTakesWhatMke2fsMakes: what e2fsprogs makes is sound, whatever it was told to make.
func TestTakesWhatMke2fsMakes(t *testing.T) {
	for _, args := range []string{
		"", "-b 1024", "-b 2048", "-b 4096", "-O ^resize_inode", "-O ^resize_inode,meta_bg", "-O ^has_journal", "-O orphan_file", "-O mmp",
		"-O metadata_csum_seed", "-O fast_commit", "-O sparse_super2", "-O ^flex_bg", "-O ^metadata_csum,uninit_bg", "-O ^metadata_csum,^64bit",
		"-O ^extent,^64bit", "-O ^extent,^64bit,^metadata_csum,^has_journal,^flex_bg", "-I 128", "-E resize=4g", "-E lazy_itable_init=1",
	} {
		t.Run(args, func(t *testing.T) {
			image := mke2fs(t, 24, strings.Fields(args)...)
			if sound, said := e2fsck(t, image); !sound {
				t.Fatal(said)
			}
			if list, err := Check(bytes.NewReader(image), int64(len(image))); err != nil || len(list) > 0 {
				t.Errorf("%q, %v", list, err)
			}
		})
	}
}

// TestResizeInode: a block of descriptors to come is one inode's, and more of them than a group has are no crash.
func TestResizeInode(t *testing.T) {
	good := mke2fs(t, 40, "-b", "1024", "-O", "resize_inode")
	f, err := read.Open(bytes.NewReader(good), int64(len(good)))
	if err != nil {
		t.Fatal(err)
	}
	at, err := f.RecordAt(format.ResizeIno)
	if err != nil {
		t.Fatal(err)
	}
	root, err := f.Root()
	if err != nil {
		t.Fatal(err)
	}
	extents, err := f.Extents(root)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(b []byte){
		"a block of another inode": func(b []byte) {
			format.LE.PutUint32(b[at+0x28+4*doubleBlock:], uint32(extents[0].Physical/f.BlockSize))
			format.InodeBytes(b[at:][:f.Super.InodeSize]).Seal(f.Seed, format.ResizeIno)
		},
		"too many": func(b []byte) {
			sb := f.Super
			sb.ReservedGDT = 60000
			copy(b[super.Offset:], sb.Encode())
		},
		"more inodes than blocks": func(b []byte) {
			sb := f.Super
			sb.BlocksPerGroup, sb.ClustersPerGroup = 256, 256
			copy(b[super.Offset:], sb.Encode())
		},
	} {
		bad := bytes.Clone(good)
		change(bad)
		list, err := Check(bytes.NewReader(bad), int64(len(bad)))
		if err == nil && len(list) == 0 {
			t.Errorf("%s: it is sound", name)
		}
		if sound, said := e2fsck(t, bad); sound {
			t.Errorf("%s: e2fsck takes it: %s", name, said)
		}
	}
}
