package rotate

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
)

// Prepend puts what the log at from holds before that at path, as far as the older part has room for its newest lines. Lines
// that others append to path meanwhile come after. Doing it again adds nothing: what is there already is not put there twice.
func Prepend(path, from string, limit int64) error {
	lines, err := readAll(from)
	if err != nil || len(lines) == 0 {
		return err
	}
	f, _, err := newest(path) // nobody turns it meanwhile
	if err != nil {
		return err
	}
	defer f.Close()
	older, err := os.ReadFile(Old(path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	room := limit - int64(len(older))
	lines = newestLines(lines, room)
	if len(lines) == 0 || bytes.HasPrefix(older, lines) || bytes.HasPrefix(older, newestLines(lines, limit)) {
		return nil
	}
	return replace(Old(path), append(lines, older...))
}

// readAll reads both parts of a log.
func readAll(path string) ([]byte, error) {
	r, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	all, err := io.ReadAll(r)
	if n := len(all); err == nil && n > 0 && all[n-1] != '\n' { // of a writer that was killed
		all = append(all, '\n')
	}
	return all, err
}

// newestLines are the last whole lines of text that room bytes hold.
func newestLines(text []byte, room int64) []byte {
	if room <= 0 {
		return nil
	}
	if int64(len(text)) <= room {
		return text
	}
	text = text[int64(len(text))-room-1:]
	return text[bytes.IndexByte(text, '\n')+1:]
}

// replace writes the file at path anew, whole or not at all.
func replace(path string, data []byte) error {
	temp := path + ".new"
	if err := os.WriteFile(temp, data, 0o600); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return os.Rename(temp, path)
}

// Remove removes both parts of a log, the older one first.
func Remove(path string) error {
	for _, part := range []string{Old(path), path} {
		if err := os.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
