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

// indexed is an image without checksums with a directory of that many names, whose index e2fsck has made after change; and
// where that directory's blocks lie.
func indexed(t *testing.T, names int, change func(sb *super.Superblock)) ([]byte, []int64) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	if out, err := exec.Command("mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", "-N", fmt.Sprint(names+100), "-O", "^metadata_csum", path, "8M").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var script strings.Builder
	script.WriteString("mkdir many\ncd many\n")
	for i := range names {
		fmt.Fprintf(&script, "mknod \"a name with umläuts %d\" p\n", i)
	}
	cmd := exec.Command("debugfs", "-w", "-f", "-", path)
	cmd.Stdin = strings.NewReader(script.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	image, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sb, err := super.Parse(image[super.Offset:])
	if err != nil {
		t.Fatal(err)
	}
	change(&sb)
	copy(image[super.Offset:], sb.Encode())
	if err := os.WriteFile(path, image, 0o600); err != nil {
		t.Fatal(err)
	}
	_ = exec.Command("e2fsck", "-fyD", path).Run() // that it has changed something is no success to it
	if image, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	f, err := read.Open(bytes.NewReader(image), int64(len(image)))
	if err != nil {
		t.Fatal(err)
	}
	n, err := f.Resolve("many", false)
	if err != nil {
		t.Fatal(err)
	}
	if n.Rec.Flags&format.InodeIndex == 0 {
		t.Fatal("it has no index")
	}
	extents, err := f.Extents(n)
	if err != nil {
		t.Fatal(err)
	}
	var blocks []int64
	for _, e := range extents {
		for at := e.Physical; at < e.Physical+e.Length; at += f.BlockSize {
			blocks = append(blocks, at)
		}
	}
	return image, blocks
}

// TestSoundIndexes are of one level and of two, and of every hash that file systems name.
func TestSoundIndexes(t *testing.T) {
	for name, change := range map[string]func(sb *super.Superblock){
		"signed":   func(sb *super.Superblock) { sb.Flags = format.FlagSignedHash },
		"unsigned": func(sb *super.Superblock) { sb.Flags = format.FlagUnsignedHash },
		"legacy":   func(sb *super.Superblock) { sb.DefaultHash = 0 },
		"tea":      func(sb *super.Superblock) { sb.DefaultHash = format.HashTEA },
	} {
		for levels, names := range []int{200, 3200} {
			image, blocks := indexed(t, names, change)
			if got := int(image[blocks[0]+format.IndexLevels]); got != levels {
				t.Errorf("%s: %d levels", name, got)
			}
			list, err := Check(bytes.NewReader(image), int64(len(image)))
			if sound, said := e2fsck(t, image); err != nil || len(list) > 0 || !sound {
				t.Errorf("%s, %d names: %q, %v; e2fsck: %s", name, names, list, err, said)
			}
		}
	}
}

// TestDamagedIndexes are found as e2fsck finds them, where no checksum tells.
func TestDamagedIndexes(t *testing.T) {
	good, blocks := indexed(t, 3200, func(*super.Superblock) {})
	le := format.LE
	root := func(b []byte) []byte { return b[blocks[0]+format.IndexRoot:] }
	node := func(b []byte) []byte {
		return b[blocks[format.IndexPairs(root(b)).Child(0)]+format.IndexNode:]
	}
	for name, change := range map[string]func(b []byte){
		"hash out of order":         func(b []byte) { le.PutUint32(node(b)[3*format.IndexPair:], 2) },
		"hash of the next node":     func(b []byte) { le.PutUint32(node(b)[format.IndexPair:], 1<<32-2) },
		"hash that hides names":     func(b []byte) { p := node(b)[2*format.IndexPair:]; le.PutUint32(p, le.Uint32(p)+1<<16) },
		"a block twice":             func(b []byte) { copy(node(b)[format.IndexPair+4:][:4], node(b)[2*format.IndexPair+4:]) },
		"the root again":            func(b []byte) { le.PutUint32(node(b)[format.IndexPair+4:], 0) },
		"a block behind the end":    func(b []byte) { le.PutUint32(node(b)[format.IndexPair+4:], uint32(len(blocks))) },
		"a block that is left out":  func(b []byte) { p := node(b)[format.IndexCount:]; le.PutUint16(p, le.Uint16(p)-1) },
		"more pairs than there may": func(b []byte) { le.PutUint16(node(b)[format.IndexCount:], 1<<15) },
		"another limit":             func(b []byte) { le.PutUint16(root(b), 7) },
		"no pairs":                  func(b []byte) { le.PutUint16(root(b)[format.IndexCount:], 0) },
		"more levels":               func(b []byte) { b[blocks[0]+format.IndexLevels] = 3 },
		"fewer levels":              func(b []byte) { b[blocks[0]+format.IndexLevels] = 0 },
		"a hash that nobody knows":  func(b []byte) { b[blocks[0]+format.IndexHash] = 9 },
		"a head of another length":  func(b []byte) { b[blocks[0]+format.IndexInfo] = 7 },
	} {
		bad := bytes.Clone(good)
		change(bad)
		list, err := Check(bytes.NewReader(bad), int64(len(bad)))
		sound, said := e2fsck(t, bad)
		if ours := len(list) == 0; err != nil || ours || sound {
			t.Errorf("%s: %q, %v; e2fsck: %v, %s", name, list, err, sound, said)
		}
	}
}
