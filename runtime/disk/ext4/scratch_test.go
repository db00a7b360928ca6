package ext4_test

import "bytes"

// scratch is an image that many cases change, each from the same state on: reset brings back what was written since
// the last one, and touches nothing else, so that a case costs what it does and not what the image holds.
type scratch struct {
	memory
	clean   []byte
	written []extent
}

type extent struct{ from, to int }

func newScratch(clean []byte) *scratch {
	return &scratch{memory: memory{bytes.Clone(clean)}, clean: clean}
}

func (s *scratch) WriteAt(p []byte, off int64) (int, error) {
	n, err := s.memory.WriteAt(p, off)
	if n > 0 {
		s.written = append(s.written, extent{int(off), int(off) + n})
	}
	return n, err
}

// part is bytes of the image that the case changes by itself.
func (s *scratch) part(from, n int) []byte {
	s.written = append(s.written, extent{from, from + n})
	return s.data[from : from+n]
}

func (s *scratch) reset() {
	for _, e := range s.written {
		copy(s.data[e.from:e.to], s.clean[e.from:e.to])
	}
	s.written = s.written[:0]
}
