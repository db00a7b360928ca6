package agent

import (
	"bytes"
	"crypto/sha256"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// slow is a host that takes its time.
type slow struct {
	bytes.Buffer
	first func()
}

func (s *slow) Write(p []byte) (int, error) {
	if s.first != nil {
		s.first()
		s.first = nil
	}
	return s.Buffer.Write(p)
}

// watched tells when a deadline is set on it: the end of its process was noticed.
type watched struct {
	*os.File
	noticed func()
}

func (w *watched) SetReadDeadline(at time.Time) error {
	defer w.noticed()
	return w.File.SetReadDeadline(at)
}

// What a process wrote comes whole, however large it made its pipe, also when a child of it holds the pipe open and when
// the host is slow to take it.
func TestOutputComesWhole(t *testing.T) {
	const size = 1 << 20
	for _, hurry := range []bool{true, false} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		defer w.Close() // the child's end
		if n, err := unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, size); err != nil || n < size {
			t.Fatalf("a pipe of %d bytes: %v", n, err)
		}
		written := bytes.Repeat([]byte("0123456789abcdef"), size/16)
		ended := make(chan struct{})
		to := &slow{}
		noticed := make(chan struct{})
		src := &watched{File: r, noticed: sync.OnceFunc(func() { close(noticed) })}
		if hurry {
			if _, err := w.Write(written); err != nil {
				t.Fatal(err)
			}
			close(ended)
		} else {
			to.first = func() { // the process ends, and that is noticed, while the host is at the first bytes
				if _, err := w.Write(written[1:]); err != nil {
					t.Error(err)
				}
				close(ended)
				<-noticed
			}
			if _, err := w.Write(written[:1]); err != nil {
				t.Fatal(err)
			}
		}
		if !copyOutput(to, src, ended) {
			t.Error("the host is said to take no more")
		}
		if to.Len() != size || sha256.Sum256(to.Bytes()) != sha256.Sum256(written) {
			t.Errorf("hurry %v: %d of %d bytes came", hurry, to.Len(), size)
		}
	}
}
