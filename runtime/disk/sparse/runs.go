package sparse

import "io"

// Run is data of a file between two holes.
type Run struct{ Offset, Length int64 }

// Runs are where a file of that size has data, in order; it moves nothing. Of more than most the last goes to the file's
// end, with the holes in it. One that has no holes is one run.
func (r *File) Runs(size int64, most int) ([]Run, error) {
	var list []Run
	for at := int64(0); at < size; {
		next, err := r.data(at)
		if err == io.EOF || err == nil && next.Offset >= size {
			break
		}
		if err != nil {
			return nil, err
		}
		if next.Length = min(next.Length, size-next.Offset); len(list) == most-1 {
			next.Length = size - next.Offset
		}
		list = append(list, next)
		at = next.Offset + next.Length
	}
	return list, nil
}

// Whole says whether runs of a file of that size leave out nothing.
func Whole(runs []Run, size int64) bool {
	return size == 0 || len(runs) == 1 && runs[0] == Run{Length: size}
}

// ReadAt reads as *os.File does.
func (r *File) ReadAt(p []byte, at int64) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.f.ReadAt(p, at)
}
