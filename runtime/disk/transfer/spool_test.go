package transfer

import (
	"bytes"
	"io"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"microagent/runtime/driver"
)

// zeros is so many of them and a word, as a stream that tells nobody its size.
func zeros(n int64) io.Reader {
	return io.MultiReader(io.LimitReader(zero{}, n), strings.NewReader("middle"), io.LimitReader(zero{}, n))
}

type zero struct{}

func (zero) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestZerosOfAStreamAreHoles where it is kept, on its way, and where it comes to.
func TestZerosOfAStreamAreHoles(t *testing.T) {
	const half, size = 128 << 20, 2*128<<20 + int64(len("middle"))
	f, err := spool(zeros(half))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if taken := st.Sys().(*syscall.Stat_t).Blocks * 512; st.Size() != size || taken > 1<<20 {
		t.Errorf("%d bytes are kept on %d", st.Size(), taken)
	}

	var sent bytes.Buffer
	p := NewPack(&sent, ".", 0, 0)
	if n, err := p.AddStream(t.Context(), Entry{Name: ".", Mode: 0o644, Size: -1}, zeros(half)); n != size || err != nil {
		t.Fatalf("%d bytes, %v", n, err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if sent.Len() > 1<<20 {
		t.Errorf("%d bytes are sent", sent.Len())
	}
	var out driver.Copied
	s, err := NewSink(filepath.Join(t.TempDir(), "to"), "", false, &out)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := Unpack(t.Context(), &sent, s, 1<<20); err != nil || out.Bytes != size {
		t.Errorf("%d bytes came, %v", out.Bytes, err)
	}
}

// TestAStreamThatIsNotWhole is no file.
func TestAStreamThatIsNotWhole(t *testing.T) {
	broken := io.MultiReader(strings.NewReader("half"), failing{})
	_, err := NewPack(io.Discard, ".", 0, 0).AddStream(t.Context(), Entry{Name: "."}, broken)
	if err == nil || err.Error() != "keep the stream until its size is known: broken pipe" {
		t.Errorf("%v", err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, syscall.EPIPE }
