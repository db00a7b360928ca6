// Package frame is how microagent's own streams are cut: one byte that says what a frame is, the length of its content
// in four bytes (big endian), and the content. Who speaks says what the kinds mean; the control protocol of a
// supervisor and the streams of a guest are made of such frames, and their bytes never change.
//
// A frame is written at once or not at all, and no length makes a reader take more memory than its bound. It imports
// the standard library alone: the guest's binary has it.
package frame

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// PrefixSize is what is before a frame's content, in bytes.
const PrefixSize = 5

// TooLargeError says that a frame has more bytes than its stream allows.
type TooLargeError struct{ Size int }

func (e *TooLargeError) Error() string { return fmt.Sprintf("a frame of %d bytes", e.Size) }

// Prefix reads what begins a frame: its kind, and the size of its content, at most limit. io.EOF where the stream ends
// between frames, io.ErrUnexpectedEOF where it ends within this, *TooLargeError.
func Prefix(r io.Reader, limit int) (kind byte, size int, err error) {
	var b [PrefixSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return 0, 0, err
	}
	n := int(binary.BigEndian.Uint32(b[1:]))
	if n > limit {
		return 0, 0, &TooLargeError{n}
	}
	return b[0], n, nil
}

// Content reads a frame's content, whose size Prefix gave. io.ErrUnexpectedEOF where the stream ends before.
func Content(r io.Reader, size int) ([]byte, error) {
	data := make([]byte, size)
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, Cut(err)
	}
	return data, nil
}

// Read reads a whole frame.
func Read(r io.Reader, limit int) (kind byte, content []byte, err error) {
	kind, size, err := Prefix(r, limit)
	if err != nil {
		return 0, nil, err
	}
	content, err = Content(r, size)
	return kind, content, err
}

// Cut is for an end where none may be: io.EOF becomes io.ErrUnexpectedEOF.
func Cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// PutPrefix writes what is before a frame's content into the first PrefixSize bytes of b.
func PutPrefix(b []byte, kind byte, size int) {
	b[0] = kind
	binary.BigEndian.PutUint32(b[1:PrefixSize], uint32(size))
}

// Writer writes frames, for any number of goroutines.
type Writer struct {
	W     io.Writer
	Limit int // of a frame's content

	mu  sync.Mutex
	buf []byte
}

// Send writes a frame in one piece, after those that are held; *TooLargeError before anything of it is written.
func (w *Writer) Send(kind byte, content []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.add(kind, content); err != nil {
		return err
	}
	_, err := w.W.Write(w.buf)
	w.buf = w.buf[:0]
	return err
}

// SendInPlace is Send of b without its first PrefixSize bytes, which it overwrites: nothing is copied.
func (w *Writer) SendInPlace(kind byte, b []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	size := len(b) - PrefixSize
	if size > w.Limit {
		return &TooLargeError{size}
	}
	PutPrefix(b, kind, size)
	if len(w.buf) > 0 {
		b = append(w.buf, b...)
		w.buf = w.buf[:0]
	}
	_, err := w.W.Write(b)
	return err
}

// Hold writes a frame in one piece with the next that is sent.
func (w *Writer) Hold(kind byte, content []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.add(kind, content)
}

func (w *Writer) add(kind byte, content []byte) error {
	if len(content) > w.Limit {
		return &TooLargeError{len(content)}
	}
	w.buf = append(w.buf, kind)
	w.buf = binary.BigEndian.AppendUint32(w.buf, uint32(len(content)))
	w.buf = append(w.buf, content...)
	return nil
}
