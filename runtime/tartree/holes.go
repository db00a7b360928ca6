package tartree

import (
	"archive/tar"
	"io"
	"strconv"
	"strings"

	"microagent/runtime/disk/sparse"
)

// holes are what is still to come of an entry that was sent without its holes.
type holes struct {
	size, at int64
	runs     []sparse.Run
	data     int64 // bytes of all runs
	left     int64 // bytes of the stream that belong to the entry, its padding too
	direct   bool  // its data are taken from the stream, and not through archive/tar
}

// holesOf reads the map of an entry of GNU tar's sparse formats 0.0 and 0.1, nil of every other. archive/tar has both as
// one record, and has held it to the entry's size.
func holesOf(h *tar.Header) *holes {
	records := h.PAXRecords
	if records[sparseMap] == "" || records[sparseMajor] != "" || records[sparseMinor] != "" || h.Typeflag != tar.TypeReg {
		return nil
	}
	s := &holes{size: h.Size}
	var n [2]int64
	i := 0
	for word := range strings.SplitSeq(records[sparseMap], ",") {
		n[i%2], _ = strconv.ParseInt(word, 10, 64)
		if i++; i%2 == 0 && n[1] > 0 {
			s.runs = append(s.runs, sparse.Run{Offset: n[0], Length: n[1]})
			s.data += n[1]
		}
	}
	s.left = s.data + padding(s.data)
	return s
}

// MapSize is how many bytes a header's map of holes takes.
func MapSize(h *tar.Header) int64 { return int64(len(h.PAXRecords[sparseMap])) }

// padding fills the last block of n bytes.
func padding(n int64) int64 { return -n & (block - 1) }

// skip passes over a hole.
func (s *holes) skip() int64 {
	next := s.size
	if len(s.runs) > 0 {
		next = s.runs[0].Offset
	}
	n := max(next-s.at, 0)
	s.at += n
	return n
}

// read reads on, a hole as zeros, and no further than where it ends or begins.
func (s *holes) read(r io.Reader, p []byte) (int, error) {
	if s.at == s.size {
		return 0, io.EOF
	}
	end, data := s.size, false
	if len(s.runs) > 0 {
		if end = s.runs[0].Offset; s.at >= end {
			end, data = end+s.runs[0].Length, true
		}
	}
	p = p[:min(int64(len(p)), end-s.at)]
	n, err := len(p), error(nil)
	if data {
		n, err = r.Read(p)
		s.left -= int64(n)
	} else {
		clear(p)
	}
	if s.at += int64(n); data && s.at == end {
		s.runs = s.runs[1:]
	}
	switch {
	case err == io.EOF && n == 0:
		err = io.ErrUnexpectedEOF
	case err == io.EOF:
		err = nil
	}
	return n, err
}

// Skip passes over the hole that begins here, of an entry that was sent without its holes, and gives its length; 0 where
// there is none. Read goes no further than the next hole once Skip was called.
func (t *Reader) Skip() (int64, error) {
	if t.holes == nil || t.begun && !t.holes.direct {
		return 0, nil
	}
	t.holes.direct = true
	return t.holes.skip(), nil
}

// Sparse says whether the entry was sent without its holes, in a form whose map is known.
func (t *Reader) Sparse() bool { return t.holes != nil }

// pass goes to the end of an entry whose data were taken from the stream, or not at all, and has what follows read anew.
func (t *Reader) pass() error {
	s := t.holes
	t.holes = nil
	if s == nil || t.begun && !s.direct {
		return nil
	}
	t.tar = tar.NewReader(t.in)
	n, err := io.CopyN(io.Discard, t.in, s.left)
	if err == io.EOF && n < s.left {
		err = io.ErrUnexpectedEOF
	}
	return err
}
