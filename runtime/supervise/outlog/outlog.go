// Package outlog keeps what a workspace's process writes: each stream in a file of its own, and both in their order in
// output.log. What it keeps is bounded, and the writing never fails: a full disk must not look to the guest's process
// like a closed pipe.
package outlog

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"

	"microagent/runtime/layout"
	"microagent/runtime/machine/rotate"
)

// Bounds of the logs of a run's process; each takes twice this at most.
const (
	outputLimit = 16 << 20
	streamLimit = 8 << 20
)

// Log is the log of a run. The records of output.log are one byte of stream (1 is stdout, 2 stderr), the length in four
// bytes (big endian), and as many bytes.
type Log struct {
	all, out, err *rotate.Writer

	mu      sync.Mutex
	changed chan struct{} // closed and made anew at each write
	closed  bool
}

const headerSize = 5

// Create begins the log of a run anew in a folder.
func Create(folder string) (*Log, error) {
	l := &Log{changed: make(chan struct{})}
	var err error
	for _, o := range []struct {
		w     **rotate.Writer
		name  string
		limit int64
	}{{&l.all, layout.OutputLog, outputLimit}, {&l.out, layout.StdoutLog, streamLimit}, {&l.err, layout.StderrLog, streamLimit}} {
		if *o.w, err = rotate.Create(filepath.Join(folder, o.name), o.limit); err != nil {
			l.Close()
			return nil, err
		}
	}
	return l, nil
}

type stream struct {
	log    *Log
	number byte
	file   *rotate.Writer
}

// Stdout takes what the process writes there, and Stderr likewise.
func (l *Log) Stdout() io.Writer { return stream{l, 1, l.out} }
func (l *Log) Stderr() io.Writer { return stream{l, 2, l.err} }

// Write never fails: a full disk must not look to the guest's process like a closed pipe.
func (s stream) Write(p []byte) (int, error) {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	record := make([]byte, headerSize, headerSize+len(p))
	record[0] = s.number
	binary.BigEndian.PutUint32(record[1:], uint32(len(p)))
	_, _ = s.log.all.Write(append(record, p...))
	_, _ = s.file.Write(p)
	close(s.log.changed)
	s.log.changed = make(chan struct{})
	return len(p), nil
}

// End says that nothing more comes.
func (l *Log) End() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		close(l.changed)
		for _, w := range []*rotate.Writer{l.all, l.out, l.err} {
			_ = w.Sync()
		}
	}
}

// Close lets go of the files.
func (l *Log) Close() {
	for _, w := range []*rotate.Writer{l.all, l.out, l.err} {
		if w != nil {
			w.Close()
		}
	}
}

func (l *Log) state() (changed <-chan struct{}, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed, l.closed
}

// Follow gives every record that is kept, and each new one until the end or until ctx ends. A reader that is slower
// than two turns of the log misses what was dropped in between.
func (l *Log) Follow(ctx context.Context, emit func(stream byte, data []byte) error) error {
	file, before, part, err := l.all.Follow(true)
	if err != nil {
		return err
	}
	defer func() { file.Close() }()
	if before != nil {
		err := Read(before, emit)
		before.Close()
		if err != nil {
			return err
		}
	}
	for {
		changed, closed := l.state()
		turned := l.all.Part() != part
		if err := readFrom(file, emit); err != nil {
			return err
		}
		if turned {
			file.Close()
			if file, _, part, err = l.all.Follow(false); err != nil {
				return err
			}
			continue
		}
		if closed {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// readFrom reads the whole records from the file's position, and leaves it behind the last one.
func readFrom(f *os.File, emit func(byte, []byte) error) error {
	at, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	err = Read(f, func(stream byte, data []byte) error {
		at += headerSize + int64(len(data))
		return emit(stream, data)
	})
	if err != nil {
		return err
	}
	_, err = f.Seek(at, io.SeekStart)
	return err
}

// Read reads the records of an output.log to its end. A record that was cut off by a crash is the end.
func Read(r io.Reader, emit func(stream byte, data []byte) error) error {
	var header [headerSize]byte
	for {
		if _, err := io.ReadFull(r, header[:]); err != nil {
			return endOf(err)
		}
		n := binary.BigEndian.Uint32(header[1:])
		if n > 2*outputLimit {
			return errors.New("output log: a record that can't be")
		}
		data := make([]byte, n)
		if _, err := io.ReadFull(r, data); err != nil {
			return endOf(err)
		}
		if err := emit(header[0], data); err != nil {
			return err
		}
	}
}

func endOf(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}
