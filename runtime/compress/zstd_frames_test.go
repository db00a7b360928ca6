package compress

import (
	"bytes"
	"errors"
	"io"
	"math/rand"
	"os/exec"
	"testing"

	"microagent/runtime/driver"
)

// zstdOf packs with zstd itself.
func zstdOf(t *testing.T, data []byte, flags ...string) []byte {
	t.Helper()
	cmd := exec.Command("zstd", append(flags, "-q", "-c")...)
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestZerosAreSkipped: 64 GiB of zeros around data are passed over and not decoded, and what is between them comes.
func TestZerosAreSkipped(t *testing.T) {
	var packed bytes.Buffer
	z, err := NewZstd(&packed)
	if err != nil {
		t.Fatal(err)
	}
	const long = 32<<30 + 12_345
	z.Zeros(long)
	if _, err := z.Write([]byte("between")); err != nil {
		t.Fatal(err)
	}
	z.Zeros(long)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := Open(bytes.NewReader(packed.Bytes()), Limits{Formats: Layers})
	if err != nil {
		t.Fatal(err)
	}
	var zeros, read int64
	var data []byte
	for buf := make([]byte, 1<<10); ; {
		n, err := r.Skip()
		if err != nil {
			t.Fatal(err)
		}
		if zeros += n; n > 0 {
			continue
		}
		k, err := r.Read(buf)
		read += int64(k)
		data = append(data, bytes.Trim(buf[:k], "\x00")...)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if zeros+read != 2*long+7 || read > 1<<20 || string(data) != "between" {
		t.Errorf("%d zeros and %d bytes with %q", zeros, read, data)
	}
	_ = r.Close()
}

// TestFrames: frames of all kinds of headers end where they end, whoever made them, in any order, and what follows the last
// one is told from a frame.
func TestFrames(t *testing.T) {
	r := rand.New(rand.NewSource(7))
	text := bytes.Repeat([]byte("some text "), 40_000)
	noise := make([]byte, 300_000)
	r.Read(noise)
	var runs bytes.Buffer
	z, err := NewZstd(&runs)
	if err != nil {
		t.Fatal(err)
	}
	z.Zeros(5 << 20)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	frames := []struct{ packed, plain []byte }{
		{zstdOf(t, text), text},
		{zstdOf(t, text, "--no-check"), text},
		{zstdOf(t, noise, "-1"), noise},
		{zstdOf(t, noise[:17]), noise[:17]},
		{zstdOf(t, noise[:1000], "--no-check"), noise[:1000]},
		{zstdOf(t, nil), nil},
		{zstdOf(t, make([]byte, 3<<20)), make([]byte, 3<<20)},
		{zstdOf(t, make([]byte, 3<<20), "--long=27", "--no-check"), make([]byte, 3<<20)},
		{[]byte("\x5A\x2A\x4D\x18\x04\x00\x00\x00none"), nil},
		{[]byte("\x50\x2A\x4D\x18\x00\x00\x00\x00"), nil},
		{runs.Bytes(), make([]byte, 5<<20)},
		// As those frames, and of another byte, without its end, or of raw blocks.
		{[]byte(zeroHead + "\x22\x00\x00\x00\x23\x00\x00x"), append(make([]byte, 4), "xxxx"...)},
		{[]byte(zeroHead + "\x21\x00\x00\x00\x00\x00\x00"), make([]byte, 4)},
	}
	for round := range 60 {
		var packed, want bytes.Buffer
		ends := map[int]bool{}
		for range 1 + r.Intn(5) {
			f := frames[r.Intn(len(frames))]
			packed.Write(f.packed)
			want.Write(f.plain)
			ends[packed.Len()] = true
		}
		z, err := Open(bytes.NewReader(packed.Bytes()), Limits{Formats: Layers})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Errorf("round %d: %d of %d bytes, %v", round, len(got), want.Len(), err)
		}
		_ = z.Close()
		for _, cut := range []int{packed.Len() - 1, packed.Len() / 2, r.Intn(packed.Len())} {
			if cut < SniffLength {
				continue // told to be no zstd at all
			}
			half, err := Open(bytes.NewReader(packed.Bytes()[:cut]), Limits{Formats: Layers})
			if err != nil {
				continue
			}
			got, err := io.ReadAll(half)
			if !bytes.HasPrefix(want.Bytes(), got) || ends[cut] != (err == nil) || err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("round %d, cut at %d of %d: %d bytes, %v", round, cut, packed.Len(), len(got), err)
			}
			_ = half.Close()
		}
		if want.Len() == 0 {
			continue
		}
		more, err := Open(bytes.NewReader(append(packed.Bytes(), "other bytes"...)), Limits{Formats: Layers})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(more); !errors.Is(err, driver.ErrCorrupt) {
			t.Errorf("round %d: bytes behind the end are %v", round, err)
		}
		_ = more.Close()
	}
}

// once breaks, and ends after that.
type once struct{ err error }

func (o *once) Read([]byte) (int, error) {
	err := o.err
	o.err = io.EOF
	return 0, err
}

// TestSkipHidesNoError: what the source said while zeros were looked for is said by Read, and is no end.
func TestSkipHidesNoError(t *testing.T) {
	broken := errors.New("the disk broke")
	var packed bytes.Buffer
	z, err := NewZstd(&packed)
	if err != nil {
		t.Fatal(err)
	}
	z.Zeros(5 << 20)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	zeros := packed.Len()
	packed.Write(pack(t, Zstd, content()))
	for _, n := range []int{zeros, zeros + 5, packed.Len()} { // between frames, and within one
		r, err := Open(io.MultiReader(bytes.NewReader(packed.Bytes()[:n]), &once{broken}), Limits{Formats: Layers})
		if err != nil {
			t.Fatal(err)
		}
		for buf := make([]byte, 1<<20); err == nil; {
			if _, err = r.Skip(); err == nil {
				_, err = r.Read(buf)
			}
		}
		if !errors.Is(err, broken) {
			t.Errorf("after %d of %d bytes: %v", n, packed.Len(), err)
		}
		_ = r.Close()
	}
}
