package ext4

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

// random gives size bytes that are no zeros and depend on seed alone.
func random(seed uint64, size int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(r.Uint32()) | 1
	}
	return b
}

var bothKinds = []Options{{}, {Size: 512 << 20, Journal: true}}

func TestFileSizes(t *testing.T) {
	for _, opt := range bothKinds {
		build(t, opt, func(b *Builder) error {
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
		build(t, Options{}, func(b *Builder) error {
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
	_, err := tryBuild(t, Options{}, func(b *Builder) error {
		return b.File("x", attr(0o644), 10000, &failing{9000})
	})
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("got %v", err)
	}
}

func TestNoSpaceSaysWhatWouldDo(t *testing.T) {
	fill := func(b *Builder) error {
		for i := range 40 {
			if err := file(b, fmt.Sprintf("f%d", i), random(uint64(i), 3<<20)); err != nil {
				return err
			}
		}
		return nil
	}
	path, err := tryBuild(t, Options{Size: 64 << 20, Journal: true}, fill)
	var full *NoSpaceError
	if !errors.As(err, &full) {
		t.Fatalf("got %v", err)
	}
	if st, err := os.Stat(path); err != nil || st.Size() > 64<<20 {
		t.Fatalf("%v %v", st, err)
	}
	build(t, Options{Size: full.Need, Journal: true}, fill)
	if full.Need > 200<<20 {
		t.Errorf("needs %d MiB for 120 MiB", full.Need>>20)
	}
}

func TestLayers(t *testing.T) {
	build(t, Options{Size: 64 << 20}, func(b *Builder) error {
		return errors.Join(
			b.Mkdir("usr/bin", attr(0o755)),
			b.Symlink("bin", "usr/bin", attr(0)),
			file(b, "usr/bin/sh", random(1, 10000)),
			file(b, "etc/a", random(2, 100000)),
			b.Link("etc/hard", "etc/a"),
			b.Device("dev/null", ModeChar, 1, 3, attr(0o666)),
			b.Device("dev/nvme", ModeBlock, 259, 300, attr(0o600)),
			b.Device("dev/fifo", ModeFIFO, 0, 0, attr(0o600)),
			b.Symlink("long", strings.Repeat("x/", 100), attr(0)),
			func() error { b.NextLayer(); return nil }(),
			file(b, "bin/sh", bytes.Repeat([]byte("new"), 5000)),
			b.Whiteout("etc/a"),
			b.Opaque("dev"),
			file(b, "dev/only", nil),
		)
	})
}
