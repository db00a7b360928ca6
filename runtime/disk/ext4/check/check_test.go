package check

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/build"
	"microagent/runtime/disk/ext4/format"
	"microagent/runtime/disk/ext4/read"
	"microagent/runtime/disk/ext4/super"
)

const imageSize = 8 << 20

// seeds is how many corruptions are tried.
const seeds = 240

// disagreements are the seeds for which e2fsck says something else, and why.
var disagreements = map[int]string{}

// image is a file system of ours to which e2fsprogs added some things.
func image(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := build.New(f, build.Options{Size: imageSize, Journal: true, Label: "data", UUID: [16]byte{1}, HashSeed: [16]byte{2}, Time: time.Unix(1e9, 0)})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	attr := ext4.Attr{Mode: 0o644, Mtime: time.Unix(1e9, 0)}
	for i := range 60 {
		name := fmt.Sprintf("dir%d/sub/file-%d", i%7, i)
		if err := b.File(name, attr, int64(i*300), bytes.NewReader(bytes.Repeat([]byte{byte(i)}, i*300))); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(b.Link("hard", "dir1/sub/file-1"), b.Symlink("soft", strings.Repeat("long/", 30), attr)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Finish(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("debugfs", "-w", "-f", "-", path)
	cmd.Env = append(os.Environ(), "E2FSPROGS_FAKE_TIME=1700000000") // the same image each time
	cmd.Stdin = strings.NewReader("ea_set dir0/sub/file-0 user.long " + strings.Repeat("v", 300) + "\nrm dir2/sub/file-9\nmkdir empty\nmknod pipe p\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// e2fsck says whether e2fsprogs takes an image for sound.
func e2fsck(t *testing.T, data []byte) (sound bool, said string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("e2fsck", "-fn", path).CombinedOutput()
	exit := new(exec.ExitError)
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	os.Remove(path)
	return err == nil, string(out)
}

// corrupt changes an image, by what the seed says: a bit anywhere in what is in use, or a field with its checksum made right.
func corrupt(t *testing.T, data []byte, seed int) string {
	t.Helper()
	r := rand.New(rand.NewSource(int64(seed)))
	f, err := read.Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	group, err := f.Group(0)
	if err != nil {
		t.Fatal(err)
	}
	live := []uint32{2, 8, 11, 12, 13, 14, 20, 30, 40, 50}
	number := live[r.Intn(len(live))]
	record := func(change func(b []byte)) {
		at, err := f.RecordAt(number)
		if err != nil {
			t.Fatal(err)
		}
		b := data[at : at+int64(f.Super.InodeSize)]
		change(b)
		format.InodeBytes(b).Seal(f.Seed, number)
	}
	descriptor := func(change func(g *format.Group)) {
		at := f.DescriptorAt(0)
		b := data[at : at+int64(f.Super.DescSize)]
		change(&group)
		group.PutState(b)
		format.SealGroup(b, f.Seed, 0)
	}
	bitmap := func(at uint64, bits uint32, sum *uint32) {
		b := data[int64(at)*f.BlockSize:][:f.BlockSize]
		bit := r.Intn(int(bits))
		b[bit/8] ^= 1 << (bit % 8)
		descriptor(func(*format.Group) { *sum = f.BitmapCsum(b, bits) })
	}
	switch kind := seed % 8; kind {
	case 0, 1, 2:
		var runs []read.Extent
		for e, err := range f.Used() {
			if err != nil {
				t.Fatal(err)
			}
			runs = append(runs, e)
		}
		e := runs[r.Intn(len(runs))]
		at := e.Physical + r.Int63n(min(e.Length, 1<<20))
		if kind == 2 { // where there is metadata for certain
			at = int64(group.InodeTable)*f.BlockSize + r.Int63n(60*int64(f.Super.InodeSize))
		}
		data[at] ^= 1 << r.Intn(8)
		return fmt.Sprintf("a bit at byte %d", at)
	case 3:
		record(func(b []byte) { b[0x1A] += byte(1 + r.Intn(3)) })
		return fmt.Sprintf("links of inode %d", number)
	case 4:
		record(func(b []byte) { b[0x1C] += 8 })
		return fmt.Sprintf("blocks of inode %d", number)
	case 5:
		bitmap(group.BlockBitmap, uint32(f.Super.Blocks), &group.BlockCsum)
		return "a bit of the block bitmap"
	case 6:
		if r.Intn(2) == 0 {
			bitmap(group.InodeBitmap, f.Super.InodesPerGroup, &group.InodeCsum)
			return "a bit of the inode bitmap"
		}
		descriptor(func(g *format.Group) {
			switch r.Intn(3) {
			case 0:
				g.FreeBlocks++
			case 1:
				g.FreeInodes--
			case 2:
				g.UsedDirs++
			}
		})
		return "counts of the group"
	}
	if r.Intn(2) == 0 {
		sb := f.Super
		if r.Intn(2) == 0 {
			sb.FreeBlocks += 5
		} else {
			sb.FreeInodes -= 2
		}
		copy(data[super.Offset:], sb.Encode())
		return "counts of the superblock"
	}
	record(func(b []byte) { b[0x28+12+8] += byte(1 + r.Intn(9)) }) // where its first extent lies
	return fmt.Sprintf("blocks that inode %d has", number)
}

// TestAgreesWithE2fsck: an image is sound to both, or to neither.
func TestAgreesWithE2fsck(t *testing.T) {
	good := image(t)
	if list, err := Check(bytes.NewReader(good), imageSize); err != nil || len(list) > 0 {
		t.Fatalf("a sound image: %q, %v", list, err)
	}
	if sound, said := e2fsck(t, good); !sound {
		t.Fatal(said)
	}
	found := 0
	for seed := range seeds {
		bad := bytes.Clone(good)
		what := corrupt(t, bad, seed)
		list, err := Check(bytes.NewReader(bad), imageSize)
		if err != nil && !errors.Is(err, ext4.ErrUnsupported) && !errors.Is(err, super.ErrNone) {
			t.Errorf("seed %d, %s: %v", seed, what, err)
		}
		ours := err == nil && len(list) == 0
		if !ours {
			found++
		}
		theirs, said := e2fsck(t, bad)
		if why := disagreements[seed]; (ours == theirs) != (why == "") {
			t.Errorf("seed %d, %s: ours %q, theirs %v (%q): %s", seed, what, list, theirs, why, said)
		}
	}
	if found < seeds/2 {
		t.Errorf("only %d of %d corruptions were found", found, seeds)
	}
}

// TestInodesTakeLittle: a table of inodes in use packs a thousand times smaller, so that what is kept of each counts. On an
// image it has 128 bytes.
func TestInodesTakeLittle(t *testing.T) {
	if n := unsafe.Sizeof(inode{}); n > 32 {
		t.Errorf("%d bytes are kept of each inode", n)
	}
}
