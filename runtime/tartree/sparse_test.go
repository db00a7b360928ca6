package tartree

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"microagent/runtime/disk/sparse"
	"microagent/runtime/driver"
)

// scattered is a file of 9 MiB and a bit with data at some places, and where these are. It lies in memory, which has holes
// wherever the tests run.
func scattered(t *testing.T, at ...int64) (*sparse.File, int64, []sparse.Run) {
	t.Helper()
	fd, err := unix.MemfdCreate("scattered", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "scattered")
	t.Cleanup(func() { _ = f.Close() })
	const size = 9<<20 + 1234
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	for i, at := range at {
		if _, err := f.WriteAt(bytes.Repeat([]byte{byte(i + 1)}, 5000), at); err != nil {
			t.Fatal(err)
		}
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	content := sparse.New(context.Background(), f, info)
	runs, err := content.Runs(size, MaxRuns)
	if err != nil {
		t.Fatal(err)
	}
	return content, size, runs
}

var sparseTime = time.Unix(1700000000, 987654321)

// sparseStream is a sparse file between two others.
func sparseStream(t *testing.T, at ...int64) (stream, content []byte) {
	t.Helper()
	f, size, runs := scattered(t, at...)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	small := func(name string) {
		t.Helper()
		if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Size: 5}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, "small"); err != nil {
			t.Fatal(err)
		}
	}
	small("before")
	h := &tar.Header{Name: strings.Repeat("ä/", 200) + "holes", Mode: 0o4755, Uid: 3_000_000, Gid: 7, ModTime: sparseTime, Size: size,
		PAXRecords: map[string]string{driver.PAXBefore: "1"}}
	if err := WriteSparse(w, &b, h, runs, f); err != nil {
		t.Fatal(err)
	}
	small("after")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	content = make([]byte, size)
	if _, err := f.ReadAt(content, 0); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), content
}

var places = map[string][]int64{"none": {}, "first": {0}, "last": {9<<20 + 1234 - 5000}, "many": {4096, 1 << 20, 5<<20 + 77, 8 << 20}}

// TestSparseFilesAreReadByAll: a reader that knows of no holes has the file as it is, and nothing of the holes is in the stream.
func TestSparseFilesAreReadByAll(t *testing.T) {
	for name, at := range places {
		stream, content := sparseStream(t, at...)
		if most := 16<<10 + len(at)*(16<<10); len(stream) > most {
			t.Errorf("%s: a stream of %d bytes", name, len(stream))
		}
		in := tar.NewReader(bytes.NewReader(stream))
		for _, want := range []string{"before", "holes", "after"} {
			h, err := in.Next()
			if err != nil {
				t.Fatalf("%s: %s: %v", name, want, err)
			}
			if filepath.Base(h.Name) != want {
				t.Errorf("%s: %q comes", name, h.Name)
			}
			got, err := io.ReadAll(in)
			if err != nil {
				t.Fatal(err)
			}
			if want != "holes" {
				continue
			}
			if !bytes.Equal(got, content) || !strings.HasPrefix(h.Name, "ä/ä/") || h.Mode != 0o4755 || h.Uid != 3_000_000 || h.Gid != 7 ||
				!h.ModTime.Equal(sparseTime) || h.PAXRecords[driver.PAXBefore] != "1" {
				t.Errorf("%s: %d bytes of %+v", name, len(got), h)
			}
		}
	}
}

// holesRead reads a stream with Skip, and gives the file with holes and how many bytes of it were no hole.
func holesRead(stream []byte) (content []byte, data int64, err error) {
	in := NewReader(bytes.NewReader(stream), Options{EndMark: Whole})
	for n := 0; ; n++ {
		h, err := in.Next()
		if err == io.EOF && n == 3 {
			return content, data, nil
		}
		if err != nil {
			return content, data, err
		}
		if in.Sparse() != (n == 1) {
			return nil, 0, errors.New(h.Name + ": in.Sparse is wrong")
		}
		if n != 1 {
			continue
		}
		b := make([]byte, 3000)
		for {
			hole, err := in.Skip()
			if err != nil {
				return content, data, err
			}
			content = append(content, make([]byte, hole)...)
			m, err := in.Read(b)
			content, data = append(content, b[:m]...), data+int64(m)
			if err == io.EOF {
				break
			}
			if err != nil {
				return content, data, err
			}
		}
		if in.Data(h) != data {
			return nil, 0, errors.New(h.Name + ": in.Data is wrong")
		}
	}
}

func TestHolesArePassedOver(t *testing.T) {
	for name, at := range places {
		stream, want := sparseStream(t, at...)
		got, data, err := holesRead(stream)
		if err != nil || !bytes.Equal(got, want) || data > int64(len(at))*(16<<10) {
			t.Errorf("%s: %d bytes with %d of data, %v", name, len(got), data, err)
		}
	}
}

// TestASparseStreamThatWasCut is never taken for a whole one.
func TestASparseStreamThatWasCut(t *testing.T) {
	stream, _ := sparseStream(t, places["many"]...)
	for n := 0; n < len(stream)-512; n += 256 {
		if _, _, err := holesRead(stream[:n]); !errors.Is(err, driver.ErrCorrupt) {
			t.Errorf("cut to %d of %d: %v", n, len(stream), err)
		}
	}
}

// TestHolesThatNobodyReads cost nothing, and neither does what was read in part.
func TestHolesThatNobodyReads(t *testing.T) {
	stream, _ := sparseStream(t, places["many"]...)
	for _, read := range []int64{0, 100, 2 << 20} {
		in := NewReader(bytes.NewReader(stream), Options{EndMark: Whole})
		for n := 0; ; n++ {
			if _, err := in.Next(); err == io.EOF && n == 3 {
				break
			} else if err != nil {
				t.Fatalf("after %d bytes: %v", read, err)
			}
			if n == 1 {
				if _, err := io.CopyN(io.Discard, in, read); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// TestGNUTarTakesSparseFiles, with their holes.
func TestGNUTarTakesSparseFiles(t *testing.T) {
	needsGNUTar(t)
	for name, at := range places {
		stream, want := sparseStream(t, at...)
		dir := t.TempDir()
		cmd := exec.Command("tar", "-x", "--no-same-owner", "--no-same-permissions", "-C", dir)
		cmd.Stdin = bytes.NewReader(stream)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		got, err := os.ReadFile(filepath.Join(dir, strings.Repeat("ä/", 200), "holes"))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

// TestManyRuns end in one that takes the holes of the rest with it.
func TestManyRuns(t *testing.T) {
	f, size, all := scattered(t, places["many"]...)
	if len(all) != 4 {
		t.Fatalf("%d runs of data for 4: %v", len(all), all)
	}
	got, err := f.Runs(size, 2)
	if err != nil || len(got) != 2 || got[0] != all[0] || got[1].Offset != all[1].Offset || got[1].Offset+got[1].Length != size {
		t.Errorf("%v, %v", got, err)
	}
}

func TestTimesBefore1970(t *testing.T) {
	for want, at := range map[string]time.Time{
		"-1.500000000": time.Unix(-2, 5e8), "-0.250000000": time.Unix(-1, 75e7), "0.000000001": time.Unix(0, 1), "-3.000000000": time.Unix(-3, 0),
	} {
		if got := paxTime(at); got != want {
			t.Errorf("%s: %s", want, got)
		}
	}
}
