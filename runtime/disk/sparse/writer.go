package sparse

import (
	"bytes"
	"os"
)

// Writer writes a new file from its beginning on, and leaves out what is all zero.
type Writer struct {
	f  *os.File
	at int64
}

// NewWriter begins a file that is empty.
func NewWriter(f *os.File) *Writer { return &Writer{f: f} }

func (w *Writer) Write(p []byte) (int, error) {
	if len(bytes.TrimLeft(p, "\x00")) > 0 {
		if n, err := w.f.WriteAt(p, w.at); err != nil {
			return n, err
		}
	}
	w.at += int64(len(p))
	return len(p), nil
}

// End makes the file as long as what was written.
func (w *Writer) End() error { return w.f.Truncate(w.at) }
