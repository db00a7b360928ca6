package super

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// sample is a superblock of 1,000 blocks of 4 KiB.
func sample() []byte {
	b := make([]byte, Size)
	binary.LittleEndian.PutUint16(b[MagicOffset:], Magic)
	binary.LittleEndian.PutUint32(b[0x4:], 1000)
	binary.LittleEndian.PutUint32(b[0x18:], 2)
	return b
}

func TestParse(t *testing.T) {
	b := sample()
	s, err := Parse(b)
	if err != nil || s.Blocks != 1000 || s.BlockSize() != 4096 || s.Length() != 4096000 || !s.Untouched() || s.NeedsRecovery() {
		t.Errorf("fresh: %+v, %v", s, err)
	}
	binary.LittleEndian.PutUint32(b[0x150:], 3) // counts only with the 64bit feature
	binary.LittleEndian.PutUint32(b[0x2C:], 77)
	if s, _ := Parse(b); s.Blocks != 1000 || s.LastMount != 77 || s.NeverMounted() {
		t.Errorf("used: %+v", s)
	}
	binary.LittleEndian.PutUint32(b[IncompatOffset:], uint32(Wide|NeedsRecovery))
	if s, _ := Parse(b); s.Blocks != 3<<32+1000 || !s.NeedsRecovery() || s.Untouched() {
		t.Errorf("large and dirty: %+v", s)
	}
}

func TestWhatIsNoSuperblock(t *testing.T) {
	large, long := sample(), sample()
	binary.LittleEndian.PutUint32(large[0x18:], 99)
	binary.LittleEndian.PutUint32(long[IncompatOffset:], uint32(Wide))
	binary.LittleEndian.PutUint32(long[0x150:], 1<<20)
	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"zeros": {make([]byte, Size), ErrNone}, "cut": {sample()[:Size-1], ErrNone}, "none": {nil, ErrNone},
		"blocks of 2^99 KiB": {large, ErrDamaged}, "2^52 blocks": {long, ErrDamaged},
	} {
		if _, err := Parse(c.b); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := Read(bytes.NewReader(append(make([]byte, Offset), c.b...))); !errors.Is(err, c.want) {
			t.Errorf("%s, read: %v", name, err)
		}
	}
	if _, err := Read(broken{}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a disk that can't be read: %v", err)
	}
}

type broken struct{}

func (broken) ReadAt([]byte, int64) (int, error) { return 0, io.ErrClosedPipe }

// TestEncodeChangesNothing: whatever the bytes, those that were parsed come back.
func TestEncodeChangesNothing(t *testing.T) {
	src := rand.NewChaCha8([32]byte{1})
	for range 1000 {
		b := sample()
		src.Read(b[:MagicOffset])
		src.Read(b[MagicOffset+2:])
		b[0x18], b[0x19], b[0x1A], b[0x1B] = b[0x18]%7, 0, 0, 0
		b[0x151], b[0x152], b[0x153] = 0, 0, 0
		ro := ROCompat(binary.LittleEndian.Uint32(b[ROOffset:])) &^ MetadataCsum // the checksum is none
		binary.LittleEndian.PutUint32(b[ROOffset:], uint32(ro))
		s, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Encode(); !bytes.Equal(got, b) {
			for i := range b {
				if got[i] != b[i] {
					t.Fatalf("byte %#x became %#x from %#x", i, got[i], b[i])
				}
			}
		}
	}
}

// TestAsMke2fsSays compares fields and names of features with what e2fsprogs prints.
func TestAsMke2fsSays(t *testing.T) {
	for _, tool := range []string{"mke2fs", "dumpe2fs"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s of e2fsprogs is not installed", tool)
		}
	}
	for _, features := range []string{
		"", "^has_journal,sparse_super2,inline_data,large_dir", "quota,project,encrypt,casefold,mmp,ea_inode",
		"bigalloc,fast_commit,verity,^resize_inode,meta_bg", "^metadata_csum,uninit_bg,^64bit",
	} {
		image := filepath.Join(t.TempDir(), "image")
		args := []string{"-q", "-t", "ext4", "-L", "a label", "-U", "00112233-4455-6677-8899-aabbccddeeff"}
		if features != "" {
			args = append(args, "-O", features)
		}
		if out, err := exec.Command("mke2fs", append(args, image, "64M")...).CombinedOutput(); err != nil {
			t.Fatalf("mke2fs -O %s: %v\n%s", features, err, out)
		}
		out, err := exec.Command("dumpe2fs", "-h", image).Output()
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(image)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		s, err := Read(f)
		if err != nil || !s.ChecksumOK() || s.Length() != 64<<20 || s.Name() != "a label" || s.UUID[15] != 0xFF || !s.Untouched() {
			t.Errorf("%s: %+v, %v", features, s, err)
		}
		want := strings.Fields(string(regexp.MustCompile(`(?m)^Filesystem features: (.*)$`).FindSubmatch(out)[1]))
		got := strings.Split(strings.Join([]string{s.Compat.String(), s.Incompat.String(), s.ROCompat.String()}, ", "), ", ")
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s:\n got %v\nwant %v", features, got, want)
		}
	}
}

func TestUnknownFeatureHasItsBit(t *testing.T) {
	if got := (Incompat(1<<31) | Filetype).String(); got != "filetype, FEATURE_I31" {
		t.Error(got)
	}
	if got := Compat(0).String(); got != "" {
		t.Error(got)
	}
}
