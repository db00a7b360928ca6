package ext4_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/build"
)

var testTime = time.Date(2020, 5, 6, 7, 8, 9, 123456789, time.UTC)

// build makes an image with what fill puts into it and checks it with e2fsck.
func buildImage(t testing.TB, opt build.Options, fill func(b *build.Builder) error) string {
	t.Helper()
	path, err := tryBuild(t, opt, fill)
	if err != nil {
		t.Fatal(err)
	}
	fsck(t, path)
	return path
}

func tryBuild(t testing.TB, opt build.Options, fill func(b *build.Builder) error) (string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if opt.UUID == ([16]byte{}) {
		copy(opt.UUID[:], "0123456789abcdef")
		copy(opt.HashSeed[:], "fedcba9876543210")
	}
	if opt.Time.IsZero() {
		opt.Time = testTime
	}
	b, err := build.New(f, opt)
	if err != nil {
		return path, err
	}
	defer b.Close()
	if fill != nil {
		if err := fill(b); err != nil {
			return path, err
		}
	}
	_, err = b.Finish()
	return path, err
}

func tool(t testing.TB, name string, args ...string) []byte {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if path, err = exec.LookPath("/sbin/" + name); err != nil {
			t.Skipf("%s (e2fsprogs) is not installed", name)
		}
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	if err != nil {
		t.Errorf("%s %v: %v\n%.4000s", name, args, err, out)
	}
	return out
}

// fsck demands exit code 0.
func fsck(t testing.TB, path string) {
	t.Helper()
	tool(t, "e2fsck", "-fn", path)
}

func attr(mode uint32) ext4.Attr { return ext4.Attr{Mode: mode, Mtime: testTime} }

func file(b *build.Builder, path string, data []byte) error {
	return b.File(path, attr(0o644), int64(len(data)), bytes.NewReader(data))
}

func TestEmptySizes(t *testing.T) {
	const mib, gib = 1 << 20, 1 << 30
	for _, size := range []int64{
		8 * mib, 64 * mib, 100_000_000, 128*mib - 4096, 128 * mib, 128*mib + 4096, 256*mib + 4096, 3*128*mib - 4096, 3*128*mib + 4096,
		384*mib + 300*4096, 512 * mib, gib, 8 * gib, 8*gib + 4096, 16*gib + 1, 100 * gib, 1024 * gib,
	} {
		buildImage(t, build.Options{Size: size, Journal: true, Label: "vol"}, nil)
		if size <= 512*mib {
			buildImage(t, build.Options{Size: size}, nil)
		}
	}
}
