package ext4_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"

	"microagent/runtime/disk/ext4/build"
)

// random gives size bytes that are no zeros and depend on seed alone.
func random(seed uint64, size int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, 0, size+7)
	for len(b) < size {
		b = binary.LittleEndian.AppendUint64(b, r.Uint64()|0x0101010101010101)
	}
	return b[:size]
}

var bothKinds = []build.Options{{}, {Size: 512 << 20, Journal: true}}

func TestFileSizes(t *testing.T) {
	for _, opt := range bothKinds {
		buildImage(t, opt, func(b *build.Builder) error {
			for i, size := range []int{0, 1, 59, 60, 4095, 4096, 4097, 1<<20 - 1, 1 << 20, 1<<20 + 1, 5<<20 + 7} {
				if err := file(b, fmt.Sprintf("d/f%d", i), random(uint64(i), size)); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

func TestDirectorySizes(t *testing.T) {
	for _, count := range []int{1, 250, 251, 252, 253, 254, 255, 300, 5000, 60000} {
		buildImage(t, build.Options{}, func(b *build.Builder) error {
			for i := range count {
				if err := file(b, fmt.Sprintf("dir/n%07d", i), nil); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// failing reads zeros, then fails.
type failing struct{ left int }

func (f *failing) Read(p []byte) (int, error) {
	if f.left <= 0 {
		return 0, io.EOF
	}
	n := min(len(p), f.left)
	f.left -= n
	return n, nil
}

func TestShortFile(t *testing.T) {
	_, err := tryBuild(t, build.Options{}, func(b *build.Builder) error {
		return b.File("x", attr(0o644), 10000, &failing{9000})
	})
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("got %v", err)
	}
}

func TestNoSpaceSaysWhatWouldDo(t *testing.T) {
	fill := func(b *build.Builder) error {
		for i := range 40 {
			if err := file(b, fmt.Sprintf("f%d", i), random(uint64(i), 3<<20)); err != nil {
				return err
			}
		}
		return nil
	}
	path, err := tryBuild(t, build.Options{Size: 64 << 20, Journal: true}, fill)
	var full *build.NoSpaceError
	if !errors.As(err, &full) {
		t.Fatalf("got %v", err)
	}
	if st, err := os.Stat(path); err != nil || st.Size() > 64<<20 {
		t.Fatalf("%v %v", st, err)
	}
	buildImage(t, build.Options{Size: full.Need, Journal: true}, fill)
	if full.Need > 200<<20 {
		t.Errorf("needs %d MiB for 120 MiB", full.Need>>20)
	}
}

func diskUsage(st os.FileInfo) int64 { return st.Sys().(*syscall.Stat_t).Blocks * 512 }
