// Package outlog keeps what a workspace's process writes: each stream in a file of its own, and both in their order in
// output.log, with the time at which each piece came. What it keeps is bounded, and the writing never fails: a full disk
// must not look to the guest's process like a closed pipe.
//
// The records of output.log are one byte of stream (1 is stdout, 2 stderr), the length in four bytes (big endian), and as
// many bytes. Times are records without bytes, which are nothing to a reader that knows of no times: their first byte is
// a digit of a number. A part begins with its own number, counted from 1 in each run, and the time of its beginning in
// milliseconds since 1970; a number further on is how much later the records behind it came. The times of a part never
// go back, whatever the host's clock does. A log without numbers is an older version's: its records have no time.
package outlog

import (
	"context"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"microagent/runtime/layout"
	"microagent/runtime/machine/rotate"
)

// Bounds of the logs of a run's process, and of a job; each takes twice this at most.
const (
	outputLimit = 16 << 20
	streamLimit = 8 << 20
	jobLimit    = 8 << 20
)

// Numbers of the streams in a record.
const (
	Stdout = 1
	Stderr = 2
)

// Log is the log of a run, or of a job.
type Log struct {
	all, out, err *rotate.Writer // out and err are nil in that of a job, which has output.log alone

	mu      sync.Mutex
	at      uint64        // the time of the last mark, in milliseconds since 1970
	changed chan struct{} // closed and made anew at each write
	closed  bool
}

const headerSize = 5

// Create begins the log of a run anew in a folder.
func Create(folder string) (*Log, error) {
	l := &Log{changed: make(chan struct{}), at: millis()}
	var err error
	for _, o := range []struct {
		w     **rotate.Writer
		name  string
		limit int64
		head  func(int) []byte
	}{{&l.all, layout.OutputLog, outputLimit, l.head}, {&l.out, layout.StdoutLog, streamLimit, nil}, {&l.err, layout.StderrLog, streamLimit, nil}} {
		if *o.w, err = rotate.CreateWithHead(filepath.Join(folder, o.name), o.limit, o.head); err != nil {
			l.Close()
			return nil, err
		}
	}
	return l, nil
}

// CreateJob begins the log of a job in a folder.
func CreateJob(folder string) (*Log, error) {
	l := &Log{changed: make(chan struct{}), at: millis()}
	var err error
	l.all, err = rotate.CreateWithHead(filepath.Join(folder, layout.OutputLog), jobLimit, l.head)
	return l, err
}

// head is what a part begins with.
func (l *Log) head(part int) []byte { return appendNumber(appendNumber(nil, uint64(part)), l.at) }

func millis() uint64 { return uint64(max(0, time.Now().UnixMilli())) }

type stream struct {
	log    *Log
	number byte
	file   *rotate.Writer
}

// Stdout takes what the process writes there, and Stderr likewise.
func (l *Log) Stdout() io.Writer { return stream{l, Stdout, l.out} }
func (l *Log) Stderr() io.Writer { return stream{l, Stderr, l.err} }

// Write never fails: a full disk must not look to the guest's process like a closed pipe.
func (s stream) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	record := make([]byte, 0, 4*headerSize+len(p))
	now := max(millis(), s.log.at)
	if now > s.log.at {
		record = appendNumber(record, now-s.log.at)
	}
	record = binary.BigEndian.AppendUint32(append(record, s.number), uint32(len(p)))
	if _, err := s.log.all.Write(append(record, p...)); err == nil {
		s.log.at = now
	}
	if s.file != nil {
		_, _ = s.file.Write(p)
	}
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
			if w != nil {
				_ = w.Sync()
			}
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
	var d Decoder
	d.Reset(f, at == 0)
	err = d.each(emit)
	if err != nil {
		return err
	}
	_, err = f.Seek(at+d.Used(), io.SeekStart)
	return err
}
