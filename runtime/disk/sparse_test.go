package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"microagent/runtime/driver"
)

// bytesRead is what this process has asked the kernel to read, in bytes.
func bytesRead(t testing.TB) (n int64) {
	t.Helper()
	data, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Fatal("the kernel counts no bytes: ", err)
	}
	if _, err := fmt.Sscanf(string(data), "rchar: %d", &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// holey makes a file of size bytes with random pieces of data at the offsets.
func holey(t testing.TB, path string, size int64, at ...int64) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(7, 7))
	for _, off := range at {
		piece := make([]byte, 5000)
		for i := range piece {
			piece[i] = byte(r.Uint32())
		}
		if _, err := f.WriteAt(piece[:min(int64(len(piece)), size-off)], off); err != nil {
			t.Fatal(err)
		}
	}
}

// TestHolesAreNotRead has files with holes at both ends and between: they give the digest and the disk of their dense
// copies, and what they do not hold is not read.
func TestHolesAreNotRead(t *testing.T) {
	sparse, dense := t.TempDir(), t.TempDir()
	const size = 20<<20 + 123
	for name, at := range map[string][]int64{
		"a-end": {0, 8192, 7 << 20, 7<<20 + 9000, size - 100}, "b-hole": {3 << 20}, "c-nothing": {}, "d-odd": {4097, 1<<20 - 1, 9<<20 + 511},
	} {
		n := int64(size)
		if name != "a-end" {
			n = 12<<20 + 1
		}
		holey(t, sparse+"/"+name, n, at...)
		data, err := os.ReadFile(sparse + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		write(t, dense+"/"+name, string(data), 0o644)
	}
	want, err := newDisks(t, nil).DigestBundle(t.Context(), from(dense), nil)
	if err != nil {
		t.Fatal(err)
	}
	full, _, err := newDisks(t, nil).Bundle(t.Context(), from(dense), want.Fingerprint.Digest, nil)
	if err != nil {
		t.Fatal(err)
	}
	d := newDisks(t, nil)
	before := bytesRead(t)
	got, err := d.DigestBundle(t.Context(), from(sparse), nil)
	if err != nil || got.Fingerprint.Digest != want.Fingerprint.Digest {
		t.Fatalf("%+v, %v; the dense copy is %s", got, err, want.Fingerprint.Digest)
	}
	have, _, err := d.Bundle(t.Context(), from(sparse), got.Fingerprint.Digest, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytesRead(t) - before; n > 2<<20 {
		t.Errorf("read %d bytes of files that hold less than 100 KiB", n)
	}
	if !sameBytes(t, have.Path, full.Path) {
		t.Error("the disk differs from that of the dense copy")
	}
	if have.Allocated > 1<<20 {
		t.Errorf("the disk takes %d bytes", have.Allocated)
	}
	fsck(t, have.Path)
}

// TestAFileThatIsCutWhileItsHolesAreRead shrinks to a hole's inside.
func TestAFileThatIsCutWhileItsHolesAreRead(t *testing.T) {
	dir := t.TempDir()
	holey(t, dir+"/hello.txt", 20<<20, 0)
	_, err := newDisks(t, nil).DigestBundle(t.Context(), driver.BundleSource{Files: growing{}, Path: dir}, nil)
	if !errors.Is(err, driver.ErrStale) {
		t.Errorf("%v", err)
	}
}

// TestALongHoleEndsWithItsContext is told to end while petabytes of zeros are hashed.
func TestALongHoleEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	dir := t.TempDir()
	holey(t, dir+"/disk", 8<<40, 0)
	src := driver.BundleSource{Files: ending{end: cancel}, Path: dir}
	if _, err := newDisks(t, nil).DigestBundle(ctx, src, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// ending calls end when a file is opened.
type ending struct {
	hostFiles
	end func()
}

func (e ending) Sub(name string) (driver.Tree, error) {
	t, err := hostFiles{}.Sub(name)
	return watchedTree{t, func(*os.File) { e.end() }}, err
}

func TestAHasherOfZeros(t *testing.T) {
	for _, n := range []int64{0, 1, hashChunk - 1, hashChunk, hashChunk + 1, 3*hashChunk + 5} {
		a, b := newHasher(), newHasher()
		a.text("before")
		a.pass(n)
		a.text("behind")
		b.text("before" + string(make([]byte, n)) + "behind")
		if !bytes.Equal(a.sum(), b.sum()) {
			t.Errorf("%d zeros hash as others", n)
		}
	}
}
