package compress

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"

	"microagent/runtime/driver"
)

var all = Limits{Formats: Kernels}

// content is 300 kB that a compression can only half shrink.
func content() []byte {
	data := make([]byte, 300_000)
	rand.NewChaCha8([32]byte{2}).Read(data)
	for i := range data {
		data[i] &= 0x0F
	}
	return data
}

func pack(t testing.TB, f Format, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	switch f {
	case Gzip:
		w = gzip.NewWriter(&b)
	case Zstd:
		w, err = zstd.NewWriter(&b)
	case XZ:
		w, err = xz.NewWriter(&b)
	case LZ4:
		b.Write([]byte{0x02, 0x21, 0x4C, 0x18})
		packed := make([]byte, lz4.CompressBlockBound(len(data)))
		n, err := lz4.CompressBlock(data, packed, nil)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(binary.LittleEndian.AppendUint32(nil, uint32(n)))
		b.Write(packed[:n])
		return b.Bytes()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func unpack(data []byte, l Limits) ([]byte, Format, error) {
	z, err := Open(iotest.HalfReader(bytes.NewReader(data)), l)
	if err != nil {
		return nil, Plain, err
	}
	defer z.Close()
	got, err := io.ReadAll(z)
	return got, z.Format, err
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestStreams(t *testing.T) {
	data := content()
	skip := []byte("\x50\x2A\x4D\x18\x04\x00\x00\x00abcd")
	zeros := make([]byte, 200_000)
	for name, c := range map[string]struct {
		stream []byte
		format Format
		want   []byte
	}{
		"plain":                             {data, Plain, data},
		"nothing":                           {nil, Plain, nil},
		"gzip":                              {pack(t, Gzip, data), Gzip, data},
		"two gzip members":                  {join(pack(t, Gzip, data), pack(t, Gzip, []byte("x"))), Gzip, append(bytes.Clone(data), 'x')},
		"gzip with a tape's zeros":          {join(pack(t, Gzip, data), zeros), Gzip, data},
		"two gzip members and zeros":        {join(pack(t, Gzip, nil), pack(t, Gzip, data), zeros[:1]), Gzip, data},
		"zstd":                              {pack(t, Zstd, data), Zstd, data},
		"two zstd frames":                   {join(pack(t, Zstd, data), pack(t, Zstd, []byte("x"))), Zstd, append(bytes.Clone(data), 'x')},
		"zstd with a skippable frame first": {join(skip, pack(t, Zstd, data)), Zstd, data},
		"as pzstd does":                     {join(skip, pack(t, Zstd, data), skip, pack(t, Zstd, data), skip), Zstd, join(data, data)},
		"xz":                                {pack(t, XZ, data), XZ, data},
		"lz4":                               {pack(t, LZ4, data), LZ4, data},
	} {
		got, f, err := unpack(c.stream, all)
		if err != nil || f != c.format || !bytes.Equal(got, c.want) {
			t.Errorf("%s: %d bytes of %q: %v", name, len(got), f, err)
		}
	}
}

// TestCutAnywhere: no stream that was cut is taken for a whole one.
func TestCutAnywhere(t *testing.T) {
	for _, f := range Kernels {
		whole := pack(t, f, content()[:300])
		for n := SniffLength; n < len(whole); n++ {
			_, _, err := unpack(whole[:n], all)
			if !errors.Is(err, driver.ErrCorrupt) || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s cut to %d of %d bytes: %v", f, n, len(whole), err)
			}
		}
	}
}

func TestWhatIsRefused(t *testing.T) {
	data := []byte("hello")
	// A frame of a window descriptor (RFC 8878, 3.1.1.1.2): 2^28 bytes, as zstd --long=28 writes.
	long := []byte{0x28, 0xB5, 0x2F, 0xFD, 0x00, 18 << 3, 0x09, 0x00, 0x00, 'x'}
	flipped := pack(t, Gzip, content())
	flipped[len(flipped)-6] ^= 1
	for name, c := range map[string]struct {
		stream []byte
		limits Limits
		class  error
		words  string
	}{
		"xz where it is not read":    {pack(t, XZ, data), Limits{Formats: Layers}, driver.ErrUnsupported, "compressed with xz; gzip and zstd are read"},
		"frames of lz4":              {[]byte("\x04\x22\x4D\x18\x64\x40\xA7"), Limits{Formats: Layers}, driver.ErrUnsupported, "compressed with lz4 (frames); gzip and zstd are read"},
		"lzip":                       {[]byte("LZIP\x01\x0C"), all, driver.ErrUnsupported, "compressed with lzip"},
		"compress":                   {[]byte("\x1F\x9D\x90ab"), all, driver.ErrUnsupported, "compressed with compress (.Z)"},
		"lzma":                       {[]byte("\x5D\x00\x00\x80\x00\xFF"), all, driver.ErrUnsupported, "compressed with lzma"},
		"zip":                        {[]byte("PK\x03\x04\x14\x00"), all, driver.ErrUnsupported, "a zip archive and no tar"},
		"bzip2":                      {[]byte("BZh91AY&SY"), all, driver.ErrUnsupported, "compressed with bzip2; gzip, zstd, xz and lz4 are read"},
		"a long zstd window":         {long, all, driver.ErrUnsupported, "window is larger than 128 MiB"},
		"gzip with garbage":          {append(pack(t, Gzip, data), "rest"...), all, driver.ErrCorrupt, "behind the end of its gzip stream"},
		"gzip, zeros, garbage":       {append(pack(t, Gzip, data), 0, 0, 1), all, driver.ErrCorrupt, "behind the end of its gzip stream"},
		"zstd with garbage":          {append(pack(t, Zstd, data), "some rest"...), all, driver.ErrCorrupt, "behind the end of its zstd stream"},
		"a wrong sum":                {flipped, all, driver.ErrCorrupt, "gzip: "},
		"more than may come out":     {pack(t, Zstd, content()), Limits{Formats: Kernels, Size: 1000}, driver.ErrCorrupt, "more bytes than it may"},
		"more than may be, as it is": {content(), Limits{Size: 1000}, driver.ErrCorrupt, "more bytes than it may"},
	} {
		_, _, err := unpack(c.stream, c.limits)
		if !errors.Is(err, c.class) || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v", name, err)
		}
		if c.class == driver.ErrUnsupported && driver.Next(err) == "" {
			t.Errorf("%s: %v does not say what to do", name, err)
		}
	}
	if _, _, err := unpack(long, all); driver.Next(err) != "pack it with --long=27 or less" {
		t.Errorf("a long window: %q", driver.Next(err))
	}
}

func TestExactlyWhatMayComeOut(t *testing.T) {
	for _, f := range Kernels {
		if got, _, err := unpack(pack(t, f, content()), Limits{Formats: Kernels, Size: 300_000}); err != nil || len(got) != 300_000 {
			t.Errorf("%s: %d bytes, %v", f, len(got), err)
		}
	}
}

// TestErrorsOfTheSource are not the format's.
func TestErrorsOfTheSource(t *testing.T) {
	broken := errors.New("the disk broke")
	for _, f := range append([]Format{Plain}, Kernels...) {
		stream := content()
		if f != Plain {
			stream = pack(t, f, stream)
		}
		for _, n := range []int{0, 3, 20, len(stream) / 2} {
			r := io.MultiReader(bytes.NewReader(stream[:n]), iotest.ErrReader(broken))
			z, err := Open(r, all)
			if err == nil {
				_, err = io.ReadAll(z)
				z.Close()
			}
			if !errors.Is(err, broken) || errors.Is(err, driver.ErrCorrupt) {
				t.Errorf("%s after %d bytes: %v", f, n, err)
			}
		}
	}
}

// TestAsPzstdPacks reads what the real program writes.
func TestAsPzstdPacks(t *testing.T) {
	pzstd, err := exec.LookPath("pzstd")
	if err != nil {
		t.Skip("pzstd of zstd is not installed")
	}
	cmd := exec.Command(pzstd, "-p", "2", "-c")
	cmd.Stdin = bytes.NewReader(content())
	packed, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if got, f, err := unpack(packed, all); err != nil || f != Zstd || !bytes.Equal(got, content()) {
		t.Errorf("%d bytes of %q: %v", len(got), f, err)
	}
}

func FuzzOpen(f *testing.F) {
	for _, format := range Kernels {
		f.Add(pack(f, format, []byte("hello")))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		z, err := Open(bytes.NewReader(data), Limits{Formats: Kernels, Size: 1 << 20})
		if err != nil {
			return
		}
		defer z.Close()
		if n, _ := io.Copy(io.Discard, z); n > 1<<20 {
			t.Errorf("%d bytes came out", n)
		}
	})
}
