package serialmux

import (
	"encoding/binary"
	"io"
)

// maxWhole is the largest body that is copied behind its header.
const maxWhole = 64 << 10

// portWrite is how much a virtio port takes at a time (port_fops_write in Linux's drivers/char/virtio_console.c).
const portWrite = 32 << 10

// before is what is left before a header so that its body is aligned to words: on a CPU without AVX Go copies what is not a
// byte at a time (memmove_amd64.s in its runtime), and emulation repeats that for each byte.
const before = -frameHeader & 7

// wholeFrames writes a frame of data at once, as far as a port takes it: yamux writes header and body apart (sendLoop in its session.go), and each
// write to a virtio port is a notice to the VMM and a wakeup of whoever reads. Only yamux's one sender may use it.
type wholeFrames struct {
	io.ReadWriteCloser
	frame []byte // a header whose body is still to come
}

func (w *wholeFrames) Write(p []byte) (int, error) {
	if len(w.frame) == 0 && isPromise(p) {
		if w.frame == nil {
			w.frame = make([]byte, 0, before+portWrite)[before:before]
		}
		w.frame = append(w.frame, p...)
		return len(p), nil
	}
	if len(w.frame) == 0 {
		return w.ReadWriteCloser.Write(p)
	}
	first := min(len(p), portWrite-frameHeader)
	w.frame = append(w.frame, p[:first]...)
	_, err := w.ReadWriteCloser.Write(w.frame)
	w.frame = w.frame[:0]
	if err == nil && first < len(p) {
		_, err = w.ReadWriteCloser.Write(p[first:])
	}
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// isPromise says whether p is the header of a body that is worth the wait.
func isPromise(p []byte) bool {
	if len(p) != frameHeader || p[1] != frameData {
		return false
	}
	size := binary.BigEndian.Uint32(p[8:])
	return size > 0 && size <= maxWhole
}
