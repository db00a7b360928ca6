package denial

import (
	"bufio"
	"encoding/json"
	"errors"
	"io/fs"

	"microagent/runtime/driver"
	"microagent/runtime/machine/rotate"
)

// Part is how many bytes the newest part of a file of records takes, at most; the part before it is kept as well.
const Part = 1 << 20

// Append adds a record to the file at path.
func Append(path string, d driver.Denial) error {
	line, err := json.Marshal(d)
	if err != nil {
		return err
	}
	return rotate.Append(path, Part, append(line, '\n'))
}

// Read gives the records in the file at path, the oldest first: none when there is no file. A line that is none, as one
// that was written in part, is left out.
func Read(path string) ([]driver.Denial, error) {
	r, err := rotate.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var all []driver.Denial
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, Part)
	for lines.Scan() {
		var d driver.Denial
		if json.Unmarshal(lines.Bytes(), &d) == nil && d.Rule != "" {
			all = append(all, d)
		}
	}
	return all, lines.Err()
}
