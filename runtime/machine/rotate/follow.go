package rotate

import (
	"io"
	"os"
)

// Follower reads a log that another process writes and turns, part after part, nothing twice. It leaves nothing out
// unless it lags by more than a whole part: what was thrown away by then is gone. A log that is begun anew goes on
// behind the one before it.
type Follower struct {
	path    string
	parts   []*os.File // held open, the oldest first; what is known of the log from there on
	at      int64      // where in parts[0] reading goes on
	offered int64      // up to where it was offered
	frozen  bool       // it looks for no further part
}

// NewFollower holds what there is of the log at path now. It need not exist yet.
func NewFollower(path string) (*Follower, error) {
	f := &Follower{path: path}
	for range 2 {
		if _, err := f.find(); err != nil {
			f.Close()
			return nil, err
		}
	}
	return f, nil
}

// Look is a reader of what f holds now, from where f goes on. Its files are f's: it is done with before f goes on.
func (f *Follower) Look() *Follower {
	return &Follower{path: f.path, parts: append([]*os.File(nil), f.parts...), at: f.at, frozen: true}
}

// Next gives what there is to read now, nil when that was all so far; begins says that it is the beginning of a part.
// What Used was not told of when the next comes is given once more with what was added to it, and left out at the end
// of a part: it is half of something that was never finished.
func (f *Follower) Next() (stretch *io.SectionReader, begins bool, err error) {
	for {
		// A part that has another behind it gets nothing more: its end is looked at after that is known.
		more, err := f.find()
		if err != nil || len(f.parts) == 0 {
			return nil, false, err
		}
		info, err := f.parts[0].Stat()
		if err != nil {
			return nil, false, err
		}
		if size := info.Size(); size > max(f.at, f.offered) {
			f.offered = size
			return io.NewSectionReader(f.parts[0], f.at, size-f.at), f.at == 0, nil
		}
		if !more {
			return nil, false, nil
		}
		if !f.frozen {
			f.parts[0].Close()
		}
		f.parts, f.at, f.offered = f.parts[1:], 0, 0
	}
}

// Used says that n bytes more of the part are done with.
func (f *Follower) Used(n int64) { f.at += n }

// Close lets go of the files.
func (f *Follower) Close() {
	if f.frozen {
		return
	}
	for _, part := range f.parts {
		part.Close()
	}
	f.parts = nil
}

// find holds the part behind the last one that is held, and says whether there is one behind the first.
func (f *Follower) find() (more bool, err error) {
	if len(f.parts) > 1 || f.frozen {
		return len(f.parts) > 1, nil
	}
	if len(f.parts) > 0 && named(f.parts[0], f.path) { // still the newest
		return false, nil
	}
	now, err := openIfThere(f.path)
	if err != nil {
		return false, err
	}
	old, err := openIfThere(Old(f.path))
	if err != nil {
		closeAll(now)
		return false, err
	}
	if old != nil && now != nil && same(old, now) { // it was turned in between
		closeAll(now)
		now, old = old, nil
	}
	var last *os.File
	if len(f.parts) > 0 {
		last = f.parts[0]
	}
	switch {
	case old != nil && (last == nil || !same(last, old)):
		closeAll(now)
		f.parts = append(f.parts, old)
	case now != nil:
		closeAll(old)
		f.parts = append(f.parts, now)
	default:
		closeAll(old)
	}
	return len(f.parts) > 1, nil
}

// named says whether an open file is the one that has a name now.
func named(f *os.File, path string) bool {
	x, err := f.Stat()
	if err != nil {
		return false
	}
	y, err := os.Stat(path)
	return err == nil && os.SameFile(x, y)
}

func closeAll(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}
