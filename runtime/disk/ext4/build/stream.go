package build

import (
	"sync"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/format"
)

const (
	streamBuffer    = 1 << 20
	streamBuffers   = 4
	streamWriteback = 8 << 20
)

// stream writes blocks to the file behind the caller's back. Blocks that follow each other go out together,
// and the kernel is asked early to start writing them to the disk.
type stream struct {
	file  Output
	limit int64  // what lies beyond is dropped
	buf   []byte // the piece being filled; its length is what is filled
	base  int64  // its place in the file
	full  chan piece
	empty chan []byte
	done  sync.WaitGroup
	mu    sync.Mutex
	err   error
}

type piece struct {
	data []byte
	at   int64
}

// buffers are those of streams that were closed: who makes many small disks does not make each anew.
var buffers = sync.Pool{New: func() any { return new([streamBuffer]byte) }}

func newStream(f Output, limit int64) *stream {
	s := &stream{file: f, limit: limit, full: make(chan piece, streamBuffers), empty: make(chan []byte, streamBuffers)}
	for range streamBuffers {
		s.empty <- buffers.Get().(*[streamBuffer]byte)[:0]
	}
	s.buf = <-s.empty
	s.done.Add(1)
	go s.run()
	return s
}

func (s *stream) run() {
	defer s.done.Done()
	var dirty format.Run // bytes written but not yet on their way to the disk
	for p := range s.full {
		if s.failed() == nil {
			if _, err := s.file.WriteAt(p.data, p.at); err != nil {
				s.fail(err)
			} else {
				if dirty.End() != uint64(p.at) {
					s.writeback(dirty)
					dirty = format.Run{Start: uint64(p.at), Count: 0}
				}
				if dirty.Count += uint64(len(p.data)); dirty.Count >= streamWriteback {
					s.writeback(dirty)
					dirty = format.Run{Start: dirty.End(), Count: 0}
				}
			}
		}
		s.empty <- p.data[:0]
	}
	s.writeback(dirty)
}

func (s *stream) writeback(r format.Run) {
	if w, ok := s.file.(interface{ Writeback(at, n int64) }); ok && r.Count >= streamBuffer {
		w.Writeback(int64(r.Start), int64(r.Count))
	}
}

func (s *stream) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *stream) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
}

// space is at least a block of room at the end of the piece being filled. What is read into it and given to
// write at the right place is not copied again.
func (s *stream) space() []byte {
	if cap(s.buf)-len(s.buf) < ext4.BlockSize {
		s.flush()
	}
	return s.buf[len(s.buf):cap(s.buf)]
}

// write puts data, whole blocks, at a block.
func (s *stream) write(block uint64, data []byte) error {
	at := int64(block) * ext4.BlockSize
	if at+int64(len(data)) > s.limit {
		return s.failed()
	}
	for len(data) > 0 {
		if len(s.buf) > 0 && s.base+int64(len(s.buf)) != at || len(s.buf) == cap(s.buf) {
			s.flush()
		}
		if len(s.buf) == 0 {
			s.base = at
		}
		n := min(len(data), cap(s.buf)-len(s.buf))
		to := s.buf[len(s.buf) : len(s.buf)+n]
		if &to[0] != &data[0] {
			copy(to, data)
		}
		s.buf = s.buf[:len(s.buf)+n]
		data, at = data[n:], at+int64(n)
	}
	return s.failed()
}

// next says whether a block would be joined to the piece being filled without a flush.
func (s *stream) next(block uint64) bool {
	return len(s.buf) == 0 || s.base+int64(len(s.buf)) == int64(block)*ext4.BlockSize
}

// owns says whether data begins where write would put it.
func (s *stream) owns(data []byte) bool {
	return len(s.buf) < cap(s.buf) && &data[0] == &s.buf[:len(s.buf)+1][len(s.buf)]
}

func (s *stream) flush() {
	if len(s.buf) == 0 {
		return
	}
	s.full <- piece{s.buf, s.base}
	s.buf = <-s.empty
}

// close writes what is left, waits for it and gives the first error.
func (s *stream) close() error {
	if s.full != nil {
		s.flush()
		close(s.full)
		s.done.Wait()
		s.full = nil
		s.empty <- s.buf
		s.buf = nil
		for range streamBuffers {
			b := <-s.empty
			buffers.Put((*[streamBuffer]byte)(b[:streamBuffer]))
		}
	}
	return s.failed()
}
