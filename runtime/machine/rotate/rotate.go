// Package rotate keeps a log within bounds: what a guest or a VMM writes without end takes at most twice a limit on
// the disk. The newest part is NAME, the one before it NAME.1. One Write is never split over the two, and one that finds
// the disk full leaves nothing of it. machine, supervise, project and workspace use it.
package rotate

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
)

// Old is the name of the older part of the log at path.
func Old(path string) string { return path + ".1" }

// Writer appends to a log. It is safe for concurrent use.
type Writer struct {
	path  string
	limit int64
	head  func(part int) []byte

	mu    sync.Mutex
	file  *os.File
	size  int64
	empty int64 // the size of a part with nothing but its head
	part  int
}

// Create begins the log at path anew, mode 0600, with parts of at most limit bytes.
func Create(path string, limit int64) (*Writer, error) { return CreateWithHead(path, limit, nil) }

// CreateWithHead is Create with something before the first Write to each part, whose number counts from 1. head is called
// while that Write is under way.
func CreateWithHead(path string, limit int64, head func(part int) []byte) (*Writer, error) {
	if err := os.Remove(Old(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	w := &Writer{path: path, limit: limit, head: head}
	return w, w.open()
}

// open makes the newest part anew. A reader that has the one before open keeps it.
func (w *Writer) open() error {
	if err := os.Remove(w.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(w.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	w.file, w.size, w.empty = f, 0, 0
	w.part++
	return nil
}

// add writes p whole or not at all.
func (w *Writer) add(p []byte) (int, error) {
	n, err := w.file.Write(p)
	if err != nil && n > 0 && w.file.Truncate(w.size) == nil {
		n = 0
	}
	w.size += int64(n)
	return n, err
}

// Write appends p. One that is longer than the limit makes a part of its own.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == nil {
		return 0, fs.ErrClosed
	}
	if w.size > w.empty && w.size+int64(len(p)) > w.limit {
		if err := w.turn(); err != nil {
			return 0, err
		}
	}
	if w.size == 0 && w.head != nil {
		n, err := w.add(w.head(w.part))
		if w.empty = int64(n); err != nil {
			return 0, err
		}
	}
	return w.add(p)
}

func (w *Writer) turn() error {
	if err := w.file.Close(); err != nil {
		return err
	}
	w.file = nil
	if err := os.Rename(w.path, Old(w.path)); err != nil {
		return err
	}
	return w.open()
}

// Part is the number of the part that is written now; it grows with each turn.
func (w *Writer) Part() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.part
}

// Follow opens the newest part for reading and gives its number; with older set, the part before it too, nil when
// there is none. A reader at the end of a part whose number is no longer Part's has read all of it.
func (w *Writer) Follow(older bool) (now, before *os.File, part int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if older {
		if before, err = openIfThere(Old(w.path)); err != nil {
			return nil, nil, 0, err
		}
	}
	if now, err = os.Open(w.path); err != nil {
		if before != nil {
			before.Close()
		}
		return nil, nil, 0, err
	}
	return now, before, w.part, nil
}

// Sync makes what was written durable.
func (w *Writer) Sync() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == nil {
		return nil
	}
	return w.file.Sync()
}

// Close ends the log.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == nil {
		return nil
	}
	err := w.file.Close()
	w.file = nil
	return err
}

// Open gives both parts of the log at path as one stream, as they are now. A log that was never written is empty.
func Open(path string) (io.ReadCloser, error) {
	var r reader
	// The newest part first: a turn in between shows it twice as the older one at worst, and never loses one.
	now, err := openIfThere(path)
	if err != nil {
		return nil, err
	}
	old, err := openIfThere(Old(path))
	if err != nil {
		if now != nil {
			now.Close()
		}
		return nil, err
	}
	if old != nil && now != nil && same(old, now) {
		old.Close()
		old = nil
	}
	var parts []io.Reader
	for _, f := range []*os.File{old, now} {
		if f != nil {
			r.files = append(r.files, f)
			parts = append(parts, f)
		}
	}
	r.Reader = io.MultiReader(parts...)
	return &r, nil
}

func openIfThere(path string) (*os.File, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return f, err
}

func same(a, b *os.File) bool {
	x, err := a.Stat()
	if err != nil {
		return false
	}
	y, err := b.Stat()
	return err == nil && os.SameFile(x, y)
}

type reader struct {
	io.Reader
	files []*os.File
}

func (r *reader) Close() error {
	var errs []error
	for _, f := range r.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
