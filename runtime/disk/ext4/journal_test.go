package ext4_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/build"
	"microagent/runtime/disk/ext4/edit"
	"microagent/runtime/disk/ext4/format"
	"microagent/runtime/disk/ext4/read"
	"microagent/runtime/disk/ext4/super"
)

// crashed is a copy of an image taken while the kernel had it mounted and script was done in it ($D is the mount):
// what a power cut leaves.
func crashed(t *testing.T, path, script string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounting an image needs root")
	}
	dir := t.TempDir()
	at := filepath.Join(dir, "mount")
	if err := os.Mkdir(at, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-o", "loop", path, at).CombinedOutput(); err != nil {
		t.Skipf("the kernel mounts no image here: %s", out)
	}
	defer func() {
		if out, err := exec.Command("umount", at).CombinedOutput(); err != nil {
			t.Errorf("umount: %s", out)
		}
	}()
	cmd := exec.Command("sh", "-ec", script)
	cmd.Env = append(os.Environ(), "D="+at)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	to := filepath.Join(dir, "crashed")
	copyImage(t, to, path)
	return to
}

func copyImage(t testing.TB, to, from string) {
	t.Helper()
	if out, err := exec.Command("cp", "--sparse=always", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// device opens an image for changes.
func device(t testing.TB, path string) (*os.File, int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return f, st.Size()
}

// replaysLikeE2fsck compares Recover with e2fsck, block by block, and the overlay with both.
func replaysLikeE2fsck(t *testing.T, path string) {
	t.Helper()
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := path+".ours", path+".theirs"
	copyImage(t, ours, path)
	copyImage(t, theirs, path)
	tool(t, "e2fsck", "-p", "-E", "journal_only", theirs)

	f, size := device(t, path)
	over, err := read.OpenReplayed(f, size)
	if err != nil {
		t.Fatal(err)
	}
	seen := listing(t, over)

	dev, size := device(t, ours)
	if err := edit.Recover(dev, size); err != nil {
		t.Fatal(err)
	}
	sameLines(t, seen, listing(t, open(t, ours))...)
	a, err := os.ReadFile(ours)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(theirs)
	if err != nil {
		t.Fatal(err)
	}
	for _, image := range [][]byte{a, b} {
		s := image[super.Offset : super.Offset+super.Size]
		for _, field := range [][2]int{{0x30, 4}, {0x274, 1}, {0x178, 8}, {0x3FC, 4}} { // wtime, kbytes_written, checksum
			clear(s[field[0] : field[0]+field[1]])
		}
	}
	different := 0
	for at := 0; at < len(a); at += 1024 {
		if !bytes.Equal(a[at:at+1024], b[at:at+1024]) {
			if different++; different < 5 {
				t.Errorf("byte %d on differs from what e2fsck made", at+firstDifference(a[at:], b[at:]))
			}
		}
	}
	if bytes.Equal(before, a) {
		t.Error("there was nothing to replay")
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("looking changed the image: %v", err)
	}
}

func firstDifference(a, b []byte) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

func TestReplayOfKernelsJournal(t *testing.T) {
	for name, make := range map[string]func(t *testing.T) string{
		"ours": func(t *testing.T) string {
			return buildImage(t, build.Options{Size: 64 << 20, Journal: true}, func(b *build.Builder) error {
				return errors.Join(b.Mkdir("d", attr(0o755)), file(b, "d/old", []byte("old")))
			})
		},
		"mke2fs 1k":      func(t *testing.T) string { return mke2fs(t, "48M", "-b", "1024") },
		"mke2fs 4k":      func(t *testing.T) string { return mke2fs(t, "64M", "-b", "4096") },
		"no csum":        func(t *testing.T) string { return mke2fs(t, "64M", "-b", "4096", "-O", "^metadata_csum,^64bit") },
		"fs csum only":   func(t *testing.T) string { return mke2fs(t, "64M", "-b", "2048", "-O", "^64bit") },
		"external flags": func(t *testing.T) string { return mke2fs(t, "64M", "-b", "4096", "-J", "size=4") },
	} {
		t.Run(name, func(t *testing.T) {
			path := crashed(t, make(t), `
				mkdir -p $D/a/b
				for i in $(seq 300); do echo $i > $D/a/b/file-with-a-longer-name-$i; done
				sync -f $D
				rm -r $D/a/b
				mkdir $D/c
				for i in $(seq 200); do echo $i > $D/c/$i; done
				printf '\300\073\071\230escaped' > $D/magic
				sync -f $D
				for i in $(seq 100); do rm $D/c/$i; done
				sync -f $D/c
				echo unsynced > $D/late`)
			replaysLikeE2fsck(t, path)
		})
	}
}

// TestReplayAroundTheEnd has a journal so small that its transactions run around its end many times.
func TestReplayAroundTheEnd(t *testing.T) {
	path := crashed(t, mke2fs(t, "64M", "-b", "1024", "-J", "size=1"), `
		for n in $(seq 40); do
			mkdir -p $D/$n
			for i in $(seq 40); do echo $n > $D/$n/$i; done
			[ $n -lt 20 ] || rm -r $D/$((n - 10))
			sync -f $D
		done`)
	replaysLikeE2fsck(t, path)
}

// TestReplayOfDataJournal has files' content in the journal, with blocks that begin like the journal's own.
func TestReplayOfDataJournal(t *testing.T) {
	image := mke2fs(t, "64M", "-b", "4096")
	tool(t, "tune2fs", "-o", "journal_data", image)
	path := crashed(t, image, `
		for i in $(seq 50); do
			printf '\300\073\071\230' > $D/f$i
			head -c 20000 /dev/zero | tr '\0' x >> $D/f$i
		done
		sync -f $D`)
	replaysLikeE2fsck(t, path)
	f, size := device(t, path)
	x, err := read.OpenReplayed(f, size)
	if err != nil {
		t.Fatal(err)
	}
	want := append([]byte("\xc0\x3b\x39\x98"), bytes.Repeat([]byte("x"), 20000)...)
	for i := 1; i <= 50; i++ {
		if !bytes.Equal(content(t, x, fmt.Sprintf("f%d", i)), want) {
			t.Fatalf("f%d differs", i)
		}
	}
}

// TestReplayOfDebugfsJournal has transactions made by hand: every kind of checksum, revoked and escaped blocks, and one
// that was never finished.
func TestReplayOfDebugfsJournal(t *testing.T) {
	dir := t.TempDir()
	blocks := filepath.Join(dir, "blocks")
	escaped := append([]byte("\xc0\x3b\x39\x98"), bytes.Repeat([]byte{7}, 1020)...)
	if err := os.WriteFile(blocks, append(escaped, bytes.Repeat([]byte{9}, 2048)...), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, open := range []string{"jo", "jo -c", "jo -c -v 2", "jo -c -v 3"} {
		for _, features := range []string{"metadata_csum", "metadata_csum,64bit", "^metadata_csum,^64bit"} {
			t.Run(open+" "+features, func(t *testing.T) {
				path := mke2fs(t, "32M", "-b", "1024", "-O", features)
				script := filepath.Join(t.TempDir(), "script")
				lines := open + "\n" +
					"jw -b 20001,20002,20003 " + blocks + "\n" +
					"jw -r 20002,20004\n" +
					"jw -b 20005,20006,20004 " + blocks + "\n" +
					"jw -b 20007,20008,20009 -c " + blocks + "\njc\n"
				if err := os.WriteFile(script, []byte(lines), 0o600); err != nil {
					t.Fatal(err)
				}
				tool(t, "debugfs", "-w", "-f", script, path)
				if open != "jo" && strings.HasPrefix(features, "^") {
					// Without metadata_csum debugfs takes the sums of whole transactions.
					if dev, size := device(t, path); !errors.Is(edit.Recover(dev, size), ext4.ErrUnsupported) {
						t.Error("a journal with sums that are not checked was replayed")
					}
					return
				}
				replaysLikeE2fsck(t, path)
				a, err := os.ReadFile(path + ".ours")
				if err != nil {
					t.Fatal(err)
				}
				for n, want := range map[int]byte{20001: 0xc0, 20002: 0, 20003: 9, 20004: 9, 20005: 0xc0, 20007: 0} {
					if a[n*1024] != want {
						t.Errorf("block %d begins with %#x, not %#x", n, a[n*1024], want)
					}
				}
			})
		}
	}
}

func mke2fs(t *testing.T, size string, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	tool(t, "mke2fs", append(append([]string{"-q", "-F", "-t", "ext4"}, args...), path, size)...)
	return path
}

// memory is a device in memory.
type memory struct{ data []byte }

func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(m.data).ReadAt(p, off)
}

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(p)) > int64(len(m.data)) {
		return 0, io.ErrShortWrite
	}
	return copy(m.data[off:], p), nil
}

func (m *memory) Sync() error { return nil }

// TestReplayOfHostileJournal changes bytes of the log: no panic, no loop, nothing written beyond the image, and an
// error has a class.
func TestReplayOfHostileJournal(t *testing.T) {
	path := crashed(t, mke2fs(t, "8M", "-b", "1024", "-J", "size=1"), `for i in $(seq 100); do echo $i > $D/$i; done; sync -f $D; rm $D/1*; sync -f $D`)
	clean, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	x := open(t, path)
	j, err := x.Journal()
	if err != nil {
		t.Fatal(err)
	}
	var places []int64
	for n := range uint32(200) {
		at, err := j.Place(n)
		if err != nil {
			t.Fatal(err)
		}
		places = append(places, at)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	replayed := 0
	m := newScratch(clean)
	for round := range 1000 {
		m.reset()
		seal := m.part(int(places[0]), format.JournalSuperSize)
		for range 1 + rnd.IntN(4) {
			at := places[rnd.IntN(len(places))]
			if rnd.IntN(3) == 0 {
				at = places[0]
			}
			at += int64(rnd.IntN(64))
			m.part(int(at), 1)[0] = byte(rnd.Uint32())
			if rnd.IntN(2) == 0 { // without checksums more of it is looked at
				seal[0x28+3] &^= format.JournalCsumV2 | format.JournalCsumV3
			}
		}
		format.BE.PutUint32(seal[0xFC:], 0)
		format.BE.PutUint32(seal[0xFC:], format.CRC(^uint32(0), seal))
		err := edit.Recover(m, int64(len(clean)))
		switch {
		case err == nil:
			replayed++
		case !errors.Is(err, ext4.ErrCorrupt) && !errors.Is(err, super.ErrNone) && !errors.Is(err, ext4.ErrUnsupported):
			t.Fatalf("round %d: %v", round, err)
		}
	}
	if replayed == 0 || replayed == 1000 {
		t.Errorf("%d of 1000 journals were replayed", replayed)
	}
}

// TestJournalThatNeverEnds is a log of descriptors only, all of the same transaction.
func TestJournalThatNeverEnds(t *testing.T) {
	path := mke2fs(t, "8M", "-b", "1024", "-J", "size=1", "-O", "^metadata_csum")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m := &memory{data}
	x, err := read.Open(m, int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	j, err := x.Journal()
	if err != nil {
		t.Fatal(err)
	}
	for n := j.First; n < j.End; n++ {
		at, err := j.Place(n)
		if err != nil {
			t.Fatal(err)
		}
		b := data[at : at+1024]
		clear(b)
		format.BE.PutUint32(b, format.JournalMagic)
		format.BE.PutUint32(b[4:], format.JournalDescriptor)
		format.BE.PutUint32(b[8:], 7)
	}
	j.Start, j.Sequence = j.First, 7
	if err := edit.WriteLogSuper(j, m); err != nil {
		t.Fatal(err)
	}
	x.Super.Incompat |= super.NeedsRecovery
	if err := edit.WriteSuper(m, &x.Super); err != nil {
		t.Fatal(err)
	}
	// Every block is a descriptor of a transaction that no commit ends: nothing is to be replayed.
	if err := edit.Recover(m, int64(len(data))); err != nil && !errors.Is(err, ext4.ErrCorrupt) && !errors.Is(err, super.ErrNone) {
		t.Fatal(err)
	}
}

func TestDirtyImageShowsTheNewState(t *testing.T) {
	for range 5 { // a busy host's kernel may have written everything back before the image was taken
		path := crashed(t, buildImage(t, build.Options{Size: 64 << 20, Journal: true}, nil), `echo new > $D/new; sync $D/new`)
		if _, err := open(t, path).Resolve("new", true); err == nil {
			continue
		}
		f, size := device(t, path)
		x, err := read.OpenReplayed(f, size)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(content(t, x, "new")); strings.TrimSpace(got) != "new" {
			t.Errorf("new holds %q", got)
		}
		return
	}
	t.Error("no image of five was taken before its journal was written back")
}

func FuzzReplay(f *testing.F) {
	image := filepath.Join(f.TempDir(), "image")
	tool(f, "mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", "-J", "size=1", "-O", "^metadata_csum,^resize_inode", image, "4M")
	blocks := filepath.Join(f.TempDir(), "blocks")
	if err := os.WriteFile(blocks, bytes.Repeat([]byte{9}, 3072), 0o600); err != nil {
		f.Fatal(err)
	}
	script := filepath.Join(f.TempDir(), "script")
	if err := os.WriteFile(script, []byte("jo\njw -b 3001,3002,3003 "+blocks+"\njw -r 3002\njw -b 3004,3005,3006 "+blocks+"\njc\n"), 0o600); err != nil {
		f.Fatal(err)
	}
	tool(f, "debugfs", "-w", "-f", script, image)
	clean, err := os.ReadFile(image)
	if err != nil {
		f.Fatal(err)
	}
	x, err := read.Open(&memory{clean}, int64(len(clean)))
	if err != nil {
		f.Fatal(err)
	}
	j, err := x.Journal()
	if err != nil {
		f.Fatal(err)
	}
	at, err := j.Place(0)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint16(0x14), []byte{0, 0, 0, 1})
	f.Add(uint16(1024), []byte{0xc0})
	f.Fuzz(func(t *testing.T, off uint16, patch []byte) {
		m := &memory{bytes.Clone(clean)}
		copy(m.data[at+int64(off)%(12<<10):at+(12<<10)], patch)
		if err := edit.Recover(m, int64(len(m.data))); err != nil && !errors.Is(err, ext4.ErrCorrupt) && !errors.Is(err, super.ErrNone) && !errors.Is(err, ext4.ErrUnsupported) {
			t.Fatal(err)
		}
	})
}
