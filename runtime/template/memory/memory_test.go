package memory

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const size = 64 << 20

func made(t *testing.T) (*os.File, []byte) {
	t.Helper()
	m, err := New("guest", size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	want := make([]byte, size)
	for at, what := range map[int]string{0: "first", 5 * page: "sixth page", 3*chunk - 2: "over an edge", size - 4: "last"} {
		copy(want[at:], what)
		if _, err := m.WriteAt([]byte(what), int64(at)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.WriteAt(make([]byte, chunk), 8*chunk); err != nil { // touched, and zero
		t.Fatal(err)
	}
	return m, want
}

func TestMemoryIsSavedAndLoadedWhole(t *testing.T) {
	m, want := made(t)
	f, err := os.Create(filepath.Join(t.TempDir(), "saved"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := Save(f, m); err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if taken := info.Sys().(*syscall.Stat_t).Blocks * 512; info.Size() != size || taken > 16*page {
		t.Errorf("%d bytes long, takes %d", info.Size(), taken)
	}
	again, err := Load("guest", f)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	got := make([]byte, size)
	if _, err := again.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
		t.Errorf("what was loaded differs from what was saved, %v", err)
	}
}

func TestASealedMemoryCantBeChanged(t *testing.T) {
	m, want := made(t)
	if Sealed(m) {
		t.Error("sealed before it was")
	}
	if err := Seal(m); err != nil {
		t.Fatal(err)
	}
	if !Sealed(m) {
		t.Error("not sealed")
	}
	if _, err := m.WriteAt([]byte("x"), 0); !errors.Is(err, unix.EPERM) {
		t.Errorf("a write: %v", err)
	}
	if err := m.Truncate(0); !errors.Is(err, unix.EPERM) {
		t.Errorf("a truncation: %v", err)
	}
	if _, err := unix.Mmap(int(m.Fd()), 0, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); !errors.Is(err, unix.EPERM) {
		t.Errorf("a shared mapping: %v", err)
	}
	own, err := unix.Mmap(int(m.Fd()), 0, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(own)
	copy(own, "mine")
	got := make([]byte, 5)
	if _, err := m.ReadAt(got, 0); err != nil || !bytes.Equal(got, want[:5]) {
		t.Errorf("after a write to a private mapping: %q, %v", got, err)
	}
	plain, err := os.Create(filepath.Join(t.TempDir(), "plain"))
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if Sealed(plain) {
		t.Error("a plain file is sealed")
	}
}

func TestAMemoryThatIsLoadedIsNotWrittenThroughItsFile(t *testing.T) {
	from, err := os.Create(filepath.Join(t.TempDir(), "saved"))
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	if _, err := from.WriteString("saved"); err != nil {
		t.Fatal(err)
	}
	m, fill, err := Loading("guest", from)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := m.WriteAt([]byte("x"), 0); !errors.Is(err, unix.EBADF) || Sealed(m) {
		t.Errorf("written before it was filled: %v, sealed %v", err, Sealed(m))
	}
	if err := fill(); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := m.ReadAt(got, 0); err != nil || string(got) != "saved" || !Sealed(m) {
		t.Errorf("%q, %v, sealed %v", got, err, Sealed(m))
	}
}
