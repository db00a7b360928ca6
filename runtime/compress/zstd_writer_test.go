package compress

import (
	"bytes"
	"io"
	"math/rand"
	"os/exec"
	"testing"
)

// TestZstdWriter: data and zeros in any order come out as they were put in, by this reader and by zstd itself, and long runs
// of zeros take no room.
func TestZstdWriter(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	for range 6 {
		var packed, want bytes.Buffer
		z, err := NewZstd(&packed)
		if err != nil {
			t.Fatal(err)
		}
		data := 0
		for range 1 + r.Intn(6) {
			n := r.Intn(3) * r.Intn(3<<20)
			if r.Intn(2) == 0 {
				z.Zeros(int64(n))
				want.Write(make([]byte, n))
				continue
			}
			b := make([]byte, n)
			r.Read(b)
			data += n
			if _, err := z.Write(b); err != nil {
				t.Fatal(err)
			}
			want.Write(b)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		if packed.Len() > data+4<<10 {
			t.Errorf("%d bytes for %d of data", packed.Len(), data)
		}
		plain, err := Open(bytes.NewReader(packed.Bytes()), Limits{Formats: Layers})
		if err != nil && want.Len() > 0 {
			t.Fatal(err)
		}
		if want.Len() == 0 {
			continue
		}
		got, err := io.ReadAll(plain)
		if err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%d of %d bytes came back: %v", len(got), want.Len(), err)
		}
		cmd := exec.Command("zstd", "-d", "-c")
		cmd.Stdin = bytes.NewReader(packed.Bytes())
		if out, err := cmd.Output(); err != nil || !bytes.Equal(out, want.Bytes()) {
			t.Errorf("zstd: %d of %d bytes, %v", len(out), want.Len(), err)
		}
	}
}
