package project

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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

// readRecord reads the record at path into v, whose Meta is meta, and gives the digest of its bytes.
func readRecord(path, kind, name string, meta *layout.Meta, v any) (string, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", driver.ErrNotFound
	}
	if err != nil {
		return "", err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return "", fmt.Errorf("%w: %s: %w", driver.ErrCorrupt, path, err)
	}
	switch {
	case meta.Format > layout.Format:
		return "", fmt.Errorf("%w: %s has format %d, written by microagent %s; this one knows format %d",
			driver.ErrUnsupported, path, meta.Format, meta.Tool, layout.Format)
	case meta.Format < 1 || meta.Kind != kind || meta.Name != name:
		return "", fmt.Errorf("%w: %s is not the record of %s %s", driver.ErrCorrupt, path, kind, name)
	}
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
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
