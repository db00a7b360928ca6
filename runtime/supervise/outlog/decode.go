package outlog

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"time"
)

// Read reads the records of an output.log to its end. A record that was cut off by a crash is the end.
func Read(r io.Reader, emit func(stream byte, data []byte) error) error {
	var d Decoder
	d.Reset(r, true)
	return d.each(emit)
}

// Record is what one write of the process left.
type Record struct {
	Stream byte
	Time   time.Time // zero in a log of a version that kept none
	Data   []byte
}

// Decoder reads records, of one stretch of a log after the other.
type Decoder struct {
	r     *bufio.Reader
	used  int64
	marks marks
}

// Reset goes on with a stretch that follows the one before, or with a part's beginning.
func (d *Decoder) Reset(r io.Reader, begins bool) {
	if d.used = 0; d.r == nil {
		d.r = bufio.NewReaderSize(r, 64<<10)
	} else {
		d.r.Reset(r)
	}
	if begins {
		d.marks = marks{}
	}
}

// Used is how many bytes of the stretch the records take that were read.
func (d *Decoder) Used() int64 { return d.used }

// Next gives the next record, and io.EOF when no whole one is left.
func (d *Decoder) Next() (Record, error) {
	for {
		var header [headerSize]byte
		if _, err := io.ReadFull(d.r, header[:]); err != nil {
			return Record{}, endOf(err)
		}
		n := binary.BigEndian.Uint32(header[1:])
		if n > 2*outputLimit {
			return Record{}, errors.New("output log: a record that can't be")
		}
		if n == 0 {
			d.used += headerSize
			d.marks.take(header[0])
			continue
		}
		data := make([]byte, n)
		if _, err := io.ReadFull(d.r, data); err != nil {
			return Record{}, endOf(err)
		}
		d.used += headerSize + int64(n)
		return Record{header[0], d.marks.time(), data}, nil
	}
}

func (d *Decoder) each(emit func(stream byte, data []byte) error) error {
	for {
		r, err := d.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := emit(r.Stream, r.Data); err != nil {
			return err
		}
	}
}

func endOf(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return io.EOF
	}
	return err
}
