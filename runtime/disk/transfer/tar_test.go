package transfer

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"microagent/runtime/driver"
)

// TestHolesAreNotSent to a guest, and not taken for data of one.
func TestHolesAreNotSent(t *testing.T) {
	const size = 1 << 30
	dir := t.TempDir()
	from := filepath.Join(dir, "from")
	f, err := os.Create(from)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := errors.Join(f.Truncate(size), func() error { _, err := f.WriteAt([]byte("middle"), size/2); return err }()); err != nil {
		t.Fatal(err)
	}
	var out driver.Copied
	src, err := NewSource("copy", driver.HostEnd{Path: from}, false, &out)
	if err != nil {
		t.Fatal(err)
	}
	var sent bytes.Buffer
	p := NewPack(&sent, ".", 0, 0)
	err = src.Walk(t.Context(), func(e Entry, content io.Reader) error {
		n, err := p.Add(e, content)
		if n != size {
			t.Errorf("%d bytes were copied", n)
		}
		return err
	})
	if err := errors.Join(err, p.Close()); err != nil {
		t.Fatal(err)
	}
	if sent.Len() > 1<<20 {
		t.Errorf("%d bytes are sent", sent.Len())
	}
	for limit, fits := range map[int64]bool{1 << 20: true, 5: false} {
		to := filepath.Join(dir, "to")
		s, err := NewSink(to, "", false, &out)
		if err != nil {
			t.Fatal(err)
		}
		err = Unpack(t.Context(), bytes.NewReader(sent.Bytes()), s, limit)
		_ = s.Close()
		if (err == nil) != fits || err != nil && !errors.Is(err, driver.ErrRefused) {
			t.Errorf("limit %d: %v", limit, err)
		}
		if !fits {
			continue
		}
		got, err := os.Open(to)
		if err != nil {
			t.Fatal(err)
		}
		defer got.Close()
		st, err := got.Stat()
		if err != nil {
			t.Fatal(err)
		}
		if taken := st.Sys().(*syscall.Stat_t).Blocks * 512; st.Size() != size || taken > 1<<20 {
			t.Errorf("%d bytes on %d", st.Size(), taken)
		}
		b := make([]byte, 6)
		if _, err := got.ReadAt(b, size/2); err != nil || string(b) != "middle" {
			t.Errorf("%q, %v", b, err)
		}
	}
	n, err := Single(t.Context(), bytes.NewReader(sent.Bytes()), io.Discard, math.MaxInt64)
	if n != size || err != nil {
		t.Errorf("to a stream: %d bytes, %v", n, err)
	}
}
