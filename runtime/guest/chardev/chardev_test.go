package chardev

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pipe is one that never blocks, with both ends as devices.
func pipe(t *testing.T) (r, w *File) {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	return devices(t, fds)
}

// devices are both ends of what was made in two descriptors.
func devices(t *testing.T, fds [2]int) (a, b *File) {
	t.Helper()
	open := func(fd int) *File {
		f, err := New(os.NewFile(uintptr(fd), "device"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	return open(fds[0]), open(fds[1])
}

func TestReadersGetWhatIsWritten(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789"), 100_000) // more than a pipe holds, so that either end waits
	for name, reader := range map[string]func(*File) io.Reader{
		"file":  func(f *File) io.Reader { return onlyReader{f} },
		"pages": func(f *File) io.Reader { return &Pages{File: f} },
	} {
		t.Run(name, func(t *testing.T) {
			r, w := pipe(t)
			wrote := make(chan error)
			go func() {
				_, err := w.Write(want)
				w.Close()
				wrote <- err
			}()
			got, err := io.ReadAll(reader(r))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes of %d, %v", len(got), len(want), err)
			}
			if err := <-wrote; err != nil {
				t.Error(err)
			}
		})
	}
}

type onlyReader struct{ io.Reader }

func TestEndsOfWaiting(t *testing.T) {
	r, w := pipe(t)
	for name, reader := range map[string]io.Reader{"file": r, "pages": &Pages{File: r}} {
		_ = r.SetReadDeadline(time.Unix(1, 0))
		if n, err := reader.Read(make([]byte, 9)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: past its deadline it read %d, %v", name, n, err)
		}
		_ = r.SetReadDeadline(time.Time{})
	}
	r.Close()
	if _, err := w.Write([]byte("x")); !errors.Is(err, unix.EPIPE) {
		t.Errorf("written where nobody reads: %v", err)
	}
	w.Close()
	if _, err := w.Write([]byte("x")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("written after its end: %v", err)
	}
}

// TestPartsEndWhereBuffersDo reads a port by the kernel's rules: from one buffer at a time, and on with the next part only
// where one was filled.
func TestPartsEndWhereBuffersDo(t *testing.T) {
	for name, c := range map[string]struct {
		buffers, asked []int // sizes
		calls          int
	}{
		"full buffers":          {[]int{page, page, page, page}, []int{4 * page}, 1},
		"the beginning first":   {[]int{page, page, page}, []int{12, 3*page - 12}, 2},
		"frames beside buffers": {[]int{page, page, page, page}, []int{5000, 5000, 6384}, 3},
		"an end that none sees": {[]int{page, 100, page, page}, []int{page + 100, 2 * page}, 3},
		"short ones in between": {[]int{100, 100, page, page}, []int{2*page + 200}, 3},
		"a short one ends it":   {[]int{page, 100, page, page}, []int{page + 200, 2*page - 100}, 3},
	} {
		r := &Pages{}
		buffers, calls := slices.Clone(c.buffers), 0
		for _, asked := range c.asked {
			for asked > 0 {
				count, size := r.parts(make([]byte, asked))
				got := 0
				for _, part := range r.iov[:count] {
					if len(buffers) == 0 {
						break
					}
					n := min(int(part.Len), buffers[0])
					if buffers[0] -= n; buffers[0] == 0 {
						buffers = buffers[1:]
					}
					if got += n; n < int(part.Len) {
						break
					}
				}
				r.read(got, size)
				asked -= got
				calls++
			}
		}
		if calls != c.calls {
			t.Errorf("%s: %d calls, not %d", name, calls, c.calls)
		}
	}
}
