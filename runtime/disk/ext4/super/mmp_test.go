package super

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// The block is where mke2fs has put it, and what is written there is what the wait is told by.
func TestMMPWait(t *testing.T) {
	if _, err := exec.LookPath("mke2fs"); err != nil {
		t.Skip("mke2fs of e2fsprogs is not installed")
	}
	for name, c := range map[string]struct {
		features string
		sequence uint32 // 0 leaves what mke2fs wrote
		interval uint16
		want     time.Duration
	}{
		"without":       {"^mmp", 0, 0, 0},
		"unmounted":     {"mmp", 0, 0, 0},
		"being checked": {"mmp", 0xE24D4D50, 0, 0},
		"killed":        {"mmp", 7, 5, 22 * time.Second},
		"by a kernel":   {"mmp", 7, 10, 42 * time.Second},
		"slow":          {"mmp", 7, 300, 720 * time.Second},
	} {
		image := filepath.Join(t.TempDir(), "image")
		if out, err := exec.Command("mke2fs", "-q", "-t", "ext4", "-O", c.features, image, "16M").CombinedOutput(); err != nil {
			t.Fatalf("mke2fs: %v\n%s", err, out)
		}
		f, err := os.OpenFile(image, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		s, err := Read(f)
		if err != nil {
			t.Fatal(err)
		}
		if c.sequence != 0 {
			at := int64(s.MMPBlock) * s.BlockSize()
			if _, err := f.WriteAt(binary.LittleEndian.AppendUint32(nil, c.sequence), at+4); err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt(binary.LittleEndian.AppendUint16(nil, c.interval), at+112); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := s.MMPWait(f); got != c.want || err != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}
