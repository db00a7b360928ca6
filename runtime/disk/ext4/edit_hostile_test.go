package ext4_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/edit"
	"microagent/runtime/disk/ext4/format"
	"microagent/runtime/disk/ext4/super"
)

// TestEditHostileImages changes bytes of metadata that no checksum guards: no panic, no endless loop, no write beyond
// the image, and every error has a class.
func TestEditHostileImages(t *testing.T) {
	for _, features := range []string{"^metadata_csum,^64bit,^resize_inode", "metadata_csum,^resize_inode"} {
		path := mke2fs(t, "4M", "-b", "1024", "-J", "size=1", "-N", "512", "-O", features)
		change(t, path, func(e *edit.Editor) error {
			root, err := e.Root()
			if err != nil {
				return err
			}
			for i := range 100 {
				if err := e.Symlink(root, fmt.Sprintf("a-rather-long-name-%d", i), "x", attr(0)); err != nil {
					return err
				}
			}
			return write(e, "/file", noise(100<<10))
		})
		clean, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var used []int // bytes that are not zero, content and journal aside
		for i := 1024; i < len(clean); i++ {
			if clean[i] != 0 && (i < 500<<10 || i%1024 < 64) {
				used = append(used, i)
			}
		}
		rnd := rand.New(rand.NewPCG(3, 4))
		created, replaced := noise(50<<10), noise(70<<10)
		m := newScratch(clean)
		done := 0
		const rounds = 1500
		for range rounds {
			m.reset()
			for range 1 + rnd.IntN(6) {
				at := m.part(used[rnd.IntN(len(used))], 1)
				at[0] = byte(rnd.Uint32())
				if rnd.IntN(4) == 0 {
					at[0] = 0xFF
				}
			}
			if features[0] != '^' { // a hostile guest can sign its superblock
				sb := m.part(super.Offset, super.Size)
				format.LE.PutUint32(sb[0x3FC:], format.CRC(^uint32(0), sb[:0x3FC]))
			}
			err := func() error {
				e, err := edit.Open(m, int64(len(m.data)), editTime)
				if err != nil {
					return err
				}
				root, err := e.Root()
				if err != nil {
					return err
				}
				dir, _, err := e.Mkdir(root, "dir", attr(0o755))
				if err != nil {
					return err
				}
				for i := range 20 {
					if err := e.Symlink(root, fmt.Sprintf("another-rather-long-name-%d", i), "x", attr(0)); err != nil {
						return err
					}
				}
				_, err = e.WriteFile(dir, "new", attr(0o600), bytes.NewReader(created))
				return errors.Join(err, write(e, "/file", replaced), e.Commit())
			}()
			switch {
			case err == nil:
				done++
			case !errors.Is(err, ext4.ErrCorrupt) && !errors.Is(err, super.ErrNone) && !errors.Is(err, ext4.ErrUnsupported) && !errors.Is(err, ext4.ErrInvalid) && !errors.Is(err, ext4.ErrTooLarge) && !errors.Is(err, os.ErrNotExist):
				t.Fatal(err)
			}
		}
		if done == 0 || done == rounds {
			t.Errorf("%s: %d of %d images were changed", features, done, rounds)
		}
	}
}
