package guesttree

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"microagent/runtime/driver"
	"microagent/runtime/tartree"
)

// endless repeats a piece for ever, and counts what was taken of it.
type endless struct {
	piece []byte
	n     int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.piece[e.n%len(e.piece):])
	e.n += n
	return n, nil
}

func stream(t testing.TB, headers ...*tar.Header) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, h := range headers {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, h.Size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// extended is an entry with a large extended header, which archive/tar puts before it.
func extended(bytes int) *tar.Header {
	return &tar.Header{Name: "f", Typeflag: tar.TypeReg, Format: tar.FormatPAX, PAXRecords: map[string]string{"X.y": strings.Repeat("x", bytes)}}
}

// TestHeadersWithoutEntries end, however they go on, before much was read.
func TestHeadersWithoutEntries(t *testing.T) {
	pax := stream(t, extended(100_000))
	entry := len(pax) - tartree.Whole - 512
	global := stream(t, &tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "g", PAXRecords: map[string]string{"X.y": strings.Repeat("x", 100_000)}})
	for name, piece := range map[string][]byte{
		"extended headers alone":          pax[:entry],
		"large ones, each with its entry": pax[:entry+512],
		"global headers":                  global[:len(global)-tartree.Whole],
	} {
		t.Run(name, func(t *testing.T) {
			source := &endless{piece: piece}
			r := NewReader(t.Context(), source)
			var err error
			for err == nil {
				_, err = r.Next()
			}
			if _, ok := errors.AsType[*tartree.ExceededError](err); !ok {
				t.Errorf("%v", err)
			}
			if source.n > 2*slack {
				t.Errorf("%d bytes were read", source.n)
			}
		})
	}
}

// TestHonestStreams: names and targets as long as Linux has them, in the guest's own format, are no headers too many.
func TestHonestStreams(t *testing.T) {
	name := strings.Repeat(strings.Repeat("n", 254)+"/", 15) + "n"
	var list []*tar.Header
	for i := range 2000 {
		list = append(list, &tar.Header{Name: fmt.Sprint(name, i), Typeflag: tar.TypeSymlink, Linkname: name, Format: tar.FormatPAX})
		list = append(list, &tar.Header{Name: fmt.Sprint(i), Typeflag: tar.TypeReg, Size: 1, Format: tar.FormatPAX, PAXRecords: map[string]string{"X.time": strings.Repeat("1", 40)}})
	}
	whole := stream(t, list...)
	r, n := NewReader(t.Context(), bytes.NewReader(whole)), 0
	for {
		_, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("entry %d: %v", n, err)
		}
		n++
	}
	if n != len(list) {
		t.Errorf("%d entries of %d", n, len(list))
	}
}

func TestStreamsThatEnd(t *testing.T) {
	whole := stream(t, &tar.Header{Name: "f", Typeflag: tar.TypeReg, Size: 1000})
	last := func(ctx context.Context, in io.Reader) error {
		r := NewReader(ctx, in)
		for {
			if _, err := r.Next(); err != nil {
				return err
			}
			if _, err := io.Copy(io.Discard, r); err != nil {
				return err
			}
		}
	}
	if err := last(t.Context(), bytes.NewReader(whole)); err != io.EOF {
		t.Error(err)
	}
	for _, n := range []int{0, 100, 512, 700, 1536, len(whole) - 512} {
		if err := last(t.Context(), bytes.NewReader(whole[:n])); !errors.Is(err, driver.ErrCorrupt) {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
	broken := errors.New("the guest went away")
	if err := last(t.Context(), io.MultiReader(bytes.NewReader(whole[:700]), iotestErr{broken})); !errors.Is(err, broken) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := last(ctx, bytes.NewReader(whole)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

type iotestErr struct{ err error }

func (e iotestErr) Read([]byte) (int, error) { return 0, e.err }
