package volume

import (
	"fmt"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/target"
)

// scattered writes a file from its beginning on, and leaves its blocks of zeros holes. Behind the length of an image's file
// system there is nothing else.
type scattered struct {
	draft  *target.FileDraft
	length int64 // of the file system
	at     int64 // where what comes next belongs
	told   int64 // up to where the kernel was told to write
}

// writeStep is how much is written before the kernel is told to begin with it: less goes out at once, by fsync.
const writeStep = 8 << 20

func newScattered(draft *target.FileDraft, length int64) *scattered {
	return &scattered{draft: draft, length: length}
}

// write puts b at the next place. Blocks that follow each other are written together.
func (s *scattered) write(b []byte) error {
	full := 0 // bytes at the front of b that are to be written
	for full < len(b) {
		n := min(len(b)-full, len(zeroBlock)-int((s.at+int64(full))%int64(len(zeroBlock))))
		if !allZero(b[full : full+n]) {
			full += n
			continue
		}
		if err := s.put(b[:full]); err != nil {
			return err
		}
		b, full = b[full+n:], 0
		s.at += int64(n)
	}
	return s.put(b)
}

// Write is write for what is a stream.
func (s *scattered) Write(b []byte) (int, error) {
	if err := s.write(b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// end makes the file as long as what was written, where that ends with a hole.
func (s *scattered) end() error { return s.draft.Truncate(s.at) }

func (s *scattered) put(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if s.at+int64(len(b)) > s.length {
		return fmt.Errorf("%w: there are data behind the %d bytes of its file system", ext4.ErrCorrupt, s.length)
	}
	if _, err := s.draft.WriteAt(b, s.at); err != nil {
		return err
	}
	if s.at += int64(len(b)); s.at-s.told >= writeStep {
		s.draft.Writeback(s.told, s.at-s.told)
		s.told = s.at
	}
	return nil
}
