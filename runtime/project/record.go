package project

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// recordNames lists the names of the records in dir, sorted. A folder that is not there has none.
func recordNames(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".json"); ok && layout.ValidName(name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// readRecord reads the record at path and gives the digest of its bytes.
func readRecord(path, kind, name string, r layout.Record) (string, error) {
	err := layout.ReadRecord(path, kind, name, r)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", driver.ErrNotFound
	case err != nil:
		return "", classed(err)
	}
	return r.Head().Digest(), nil
}

// classed tells a record of a later version from one that can't be understood at all.
func classed(err error) error {
	if _, later := errors.AsType[*layout.LaterRecordError](err); later {
		return fmt.Errorf("%w: %w", driver.ErrUnsupported, err)
	}
	return fmt.Errorf("%w: %w", driver.ErrCorrupt, err)
}

// recordError makes an error of readRecord one for users.
func recordError(op, name string, err error) error {
	e := &driver.Error{Op: op, Object: name, Err: err}
	switch {
	case errors.Is(err, driver.ErrCorrupt):
		e.Next = "move the file away; it is written anew"
	case errors.Is(err, driver.ErrUnsupported):
		e.Next = "use that version of microagent, or a newer one"
	}
	return e
}

func validProject(op, name string) error {
	if layout.ValidName(name) && !strings.Contains(name, ".") {
		return nil
	}
	return invalidName(op, name)
}

func validBundle(op, name string) error {
	if layout.ValidName(name) {
		return nil
	}
	return invalidName(op, name)
}

func invalidName(op, name string) error {
	return &driver.Error{
		Class: driver.ErrInvalid, Op: op, Object: fmt.Sprintf("%q", name),
		Err:  errors.New("not a name"),
		Next: "names begin with a letter a-z and hold at most 31 of a-z, 0-9 and -",
	}
}
