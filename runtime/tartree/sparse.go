package tartree

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"microagent/runtime/disk/sparse"
)

// The records of sparse files, by "Storing Sparse Files" of GNU tar's manual. In format 0.1 the map is a record, which
// readers that know of no holes take for what it is: archive/tar gives zeros for them.
const (
	sparseName  = "GNU.sparse.name"
	sparseSize  = "GNU.sparse.size"
	sparseCount = "GNU.sparse.numblocks"
	sparseMap   = "GNU.sparse.map"
	sparseMajor = "GNU.sparse.major" // of later formats
	sparseMinor = "GNU.sparse.minor"
)

// MaxRuns is how many runs of data a file may be sent as: archive/tar takes no more than 1 MiB of records.
const MaxRuns = 16 << 10

// WriteSparse writes a regular file by its data, at most MaxRuns runs of it, to the writer that w writes to. What it has is
// read where it lies in content; io.ErrUnexpectedEOF where it became shorter.
func WriteSparse(w *tar.Writer, to io.Writer, h *tar.Header, data []sparse.Run, content io.ReaderAt) error {
	for key := range h.PAXRecords {
		if strings.ContainsAny(key, "=\x00") {
			return fmt.Errorf("%w: a record %q", tar.ErrHeader, key)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	header, stored := sparseHeader(h, data)
	if _, err := to.Write(header); err != nil {
		return err
	}
	b := make([]byte, min(stored, 256<<10))
	for _, run := range data {
		for at, end := run.Offset, run.Offset+run.Length; at < end; {
			n, err := content.ReadAt(b[:min(int64(len(b)), end-at)], at)
			if n == 0 && err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			if n == 0 && err != nil {
				return err
			}
			if _, err := to.Write(b[:n]); err != nil {
				return err
			}
			at += int64(n)
		}
	}
	_, err := to.Write(make([]byte, padding(stored)))
	return err
}

// sparseHeader is what comes before the content, and how many bytes that has.
func sparseHeader(h *tar.Header, data []sparse.Run) (header []byte, stored int64) {
	var list strings.Builder
	n := len(data)
	for _, run := range data {
		fmt.Fprintf(&list, "%d,%d,", run.Offset, run.Length)
		stored += run.Length
	}
	// A map that is empty would be none, and GNU tar ends each with the file's end.
	fmt.Fprintf(&list, "%d,0", h.Size)
	n++
	var text bytes.Buffer
	for _, key := range slices.Sorted(maps.Keys(h.PAXRecords)) {
		text.WriteString(paxRecord(key, h.PAXRecords[key]))
	}
	for _, record := range [][2]string{
		{"size", strconv.FormatInt(stored, 10)}, {"mtime", paxTime(h.ModTime)}, {"uid", strconv.Itoa(h.Uid)}, {"gid", strconv.Itoa(h.Gid)},
		// GNU tar wants to know how long the map is before it comes.
		{sparseName, h.Name}, {sparseSize, strconv.FormatInt(h.Size, 10)}, {sparseCount, strconv.Itoa(n)}, {sparseMap, list.String()},
	} {
		text.WriteString(paxRecord(record[0], record[1]))
	}
	header = ustar(tar.TypeXHeader, 0, text.Len())
	header = append(header, text.Bytes()...)
	header = append(header, make([]byte, padding(int64(text.Len())))...)
	return append(header, ustar(tar.TypeReg, h.Mode, 0)...), stored
}

// ustar is a header block. What a record says of an entry is not in it.
func ustar(kind byte, mode int64, size int) []byte {
	b := make([]byte, block)
	copy(b, "GNUSparseFile.0")
	copy(b[100:], fmt.Sprintf("%07o\x00%07o\x00%07o\x00%011o\x00%011o\x00        ", mode&0o7777777, 0, 0, size, 0))
	b[156] = kind
	copy(b[257:], "ustar\x0000")
	sum := 0
	for _, c := range b {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

// paxRecord is a record with its own length before it.
func paxRecord(key, value string) string {
	rest := len(key) + len(value) + len(" =\n")
	n := rest + len(strconv.Itoa(rest))
	n = rest + len(strconv.Itoa(n))
	return strconv.Itoa(n) + " " + key + "=" + value + "\n"
}

// paxTime is seconds with a fraction.
func paxTime(t time.Time) string {
	s, n, sign := t.Unix(), int64(t.Nanosecond()), ""
	if s < 0 && n > 0 {
		s, n = s+1, 1e9-n
		if s == 0 {
			sign = "-"
		}
	}
	return fmt.Sprintf("%s%d.%09d", sign, s, n)
}
