package layout

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Format is the version of the layout and of every record in it.
const Format = 1

type formatFile struct {
	Format int    `json:"format"`
	Tool   string `json:"tool"`
}

// NewerError says that a newer microagent wrote the state directory.
type NewerError struct {
	Dir    string
	Format int
	Tool   string
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("state directory %s has format %d, written by microagent %s; this one knows format %d",
		e.Dir, e.Format, e.Tool, Format)
}

// UnusableError says that no state directory can be at Dir.
type UnusableError struct {
	Dir string
	Err error
}

func (e *UnusableError) Error() string {
	return fmt.Sprintf("state directory %s can't be used: %v", e.Dir, e.Err)
}

func (e *UnusableError) Unwrap() error { return e.Err }

// Check reads the state directory's format. A directory that is not there yet is fine: commands that only read
// see an empty world.
func (s State) Check() error {
	_, err := s.format()
	return err
}

// format is what the state directory's format file says, the zero value where there is none yet.
func (s State) format() (f formatFile, err error) {
	data, err := os.ReadFile(s.FormatFile())
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return f, &UnusableError{s.Dir, err}
	}
	if err := json.Unmarshal(data, &f); err != nil {
		return f, &UnusableError{s.Dir, fmt.Errorf("read %s: %w", s.FormatFile(), err)}
	}
	if f.Format > Format {
		return f, &NewerError{Dir: s.Dir, Format: f.Format, Tool: f.Tool}
	}
	return f, nil
}

// Prepare makes the state directory and its folders, mode 0700, and checks its format. Commands that write
// call it once. Before the first write of another version of the program it keeps the records as they are: see Older.
func (s State) Prepare(tool string) error {
	f, err := s.format()
	if err != nil {
		return err
	}
	for _, dir := range []string{
		s.Dir, s.Volumes(), s.Bundles(), s.Workspaces(), s.Projects(), s.Locks(), s.DiskCache(), s.Images(), s.join("kernels"),
	} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return &UnusableError{s.Dir, err}
		}
	}
	switch f.Tool {
	case tool:
		return nil
	case "":
		return WriteJSON(s.FormatFile(), formatFile{Format: Format, Tool: tool})
	}
	return s.succeed(tool)
}
