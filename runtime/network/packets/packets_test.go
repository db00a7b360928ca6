package packets

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"microagent/runtime/frame"
)

func batch(t testing.TB, list ...[]byte) []byte {
	t.Helper()
	var b Batch
	var out bytes.Buffer
	for len(list) > 0 {
		if err := b.Fill(func(p []byte) (int, error) {
			if len(list) == 0 {
				return 0, nil
			}
			n := copy(p, list[0])
			list = list[1:]
			return n, nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := b.Send(&out); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

func TestBatch(t *testing.T) {
	small, large := []byte("a packet"), bytes.Repeat([]byte{0x45}, MaxSize)
	r := NewReader(bytes.NewReader(batch(t, small, large, small, large)))
	for i, want := range [][]byte{small, large, small, large} {
		if p, err := r.Next(); err != nil || !bytes.Equal(p, want) {
			t.Errorf("packet %d: %d bytes, %v", i, len(p), err)
		}
	}
	if _, err := r.Next(); err != io.EOF {
		t.Error(err)
	}
}

// All that waits goes in one write, and one write holds no more than a batch and a packet.
func TestWritesAreFew(t *testing.T) {
	var b Batch
	sizes := 0
	for range 3 {
		if err := b.Fill(func(p []byte) (int, error) { return 1500, nil }); err != nil {
			t.Fatal(err)
		}
		w := &writes{}
		if err := b.Send(w); err != nil || w.n != 1 || b.Len() != 0 {
			t.Errorf("%d writes, %v, %d bytes are left", w.n, err, b.Len())
		}
		sizes = w.size
	}
	if sizes < batchSize || sizes > batchSize+Room {
		t.Errorf("a write of %d bytes", sizes)
	}
}

type writes struct{ n, size int }

func (w *writes) Write(p []byte) (int, error) {
	w.n++
	w.size += len(p)
	return len(p), nil
}

// A later version may send more kinds of frames.
func TestUnknownKindsAreSkipped(t *testing.T) {
	var b bytes.Buffer
	w := frame.Writer{W: &b, Limit: MaxSize}
	if err := errors.Join(w.Send('?', make([]byte, MaxSize)), w.Send(Kind, []byte("x")), w.Send('?', nil)); err != nil {
		t.Fatal(err)
	}
	r := NewReader(&b)
	if p, err := r.Next(); string(p) != "x" || err != nil {
		t.Errorf("%q, %v", p, err)
	}
	if _, err := r.Next(); err != io.EOF {
		t.Error(err)
	}
}

func TestTooLarge(t *testing.T) {
	head := make([]byte, frame.PrefixSize)
	frame.PutPrefix(head, Kind, MaxSize+1)
	if _, err := NewReader(bytes.NewReader(head)).Next(); err == nil {
		t.Error("a packet above the bound is read")
	}
}

func FuzzReader(f *testing.F) {
	f.Add(batch(f, []byte("a packet"), []byte{}))
	f.Add([]byte("P\x00\x00\x00\x02hi?\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, total := NewReader(bytes.NewReader(data)), 0
		for {
			p, err := r.Next()
			if total += len(p); total > len(data)+MaxSize {
				t.Fatalf("%d bytes of %d", total, len(data))
			}
			if err != nil {
				return
			}
		}
	})
}
