package transfer

import (
	"bytes"
	"errors"
	"fmt"
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

// TestHolesOfAnotherForm are read as zeros, and so count against the limit as all else does: a guest could send a file of any
// size in a block.
func TestHolesOfAnotherForm(t *testing.T) {
	const size = 1 << 20
	// GNU tar's old format: at 386 where data are, at 483 how long the file is.
	sent := make([]byte, 3*512)
	for at, text := range map[int]string{
		0: ".", 100: "0000644", 108: "0000000", 116: "0000000", 124: "00000000000", 136: "00000000000", 148: "        ", 156: "S", 257: "ustar  ",
		386: fmt.Sprintf("%011o", size), 398: "00000000000", 483: fmt.Sprintf("%011o", size),
	} {
		copy(sent[at:], text)
	}
	sum := 0
	for _, c := range sent[:512] {
		sum += int(c)
	}
	copy(sent[148:], fmt.Sprintf("%06o\x00 ", sum))
	for limit, fits := range map[int64]bool{size: true, size - 1: false} {
		var out driver.Copied
		s, err := NewSink(filepath.Join(t.TempDir(), "to"), "", false, &out)
		if err != nil {
			t.Fatal(err)
		}
		err = Unpack(t.Context(), bytes.NewReader(sent), s, limit)
		_ = s.Close()
		if (err == nil) != fits || err != nil && !errors.Is(err, driver.ErrRefused) {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
}
