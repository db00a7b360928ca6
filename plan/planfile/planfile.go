// Package planfile keeps a plan in a file: whole, typed, with nothing left to look up in the manifest, and bound to
// the records it rests on. Save writes what Load reads; a file of another major format is refused by name. Stale says
// what moved since. The file holds what the manifest says, environments included, so it is readable by its owner
// only; it holds no other secret. It never reads the world: apply hands it the records. apply and the commands import
// it.
package planfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"microagent/plan"
)

// magic is the kind of document, so that no other JSON is taken for a plan.
const magic = "microagent-plan"

// maxSize bounds what Load reads: a plan of 5,000 resources takes a few MiB.
const maxSize = 256 << 20

// document is the file.
type document struct {
	Kind   string     `json:"kind"`
	Format int        `json:"format"`
	Tool   string     `json:"tool"`
	Plan   *plan.Plan `json:"plan"`
}

// FormatError says that a file is no plan that this version can read.
type FormatError struct {
	Path   string
	Format int    // of the file; 0 when it is no plan at all
	Tool   string // that wrote it, "" when the file doesn't say
	Why    string
}

func (e *FormatError) Error() string {
	if e.Format > plan.Format {
		return fmt.Sprintf("plan file %s has format %d, written by microagent %s; this one reads format %d",
			e.Path, e.Format, e.Tool, plan.Format)
	}
	return fmt.Sprintf("plan file %s: %s", e.Path, e.Why)
}

// Save publishes p at path, mode 0600, whole or not at all. One that can't be applied is saved with its refusals, to be
// shown.
func Save(path string, p *plan.Plan) error {
	data, err := Encode(p)
	if err != nil {
		return err
	}
	if err := publish(path, data); err != nil {
		return fmt.Errorf("save plan to %s: %w", path, err)
	}
	return nil
}

// publish writes a temporary file, which os.CreateTemp makes with mode 0600, and renames it into place.
func publish(path string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// Encode gives the bytes of the file; they are a function of p alone.
func Encode(p *plan.Plan) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(document{magic, plan.Format, p.Tool, p}); err != nil {
		return nil, fmt.Errorf("encode plan of project %s: %w", p.Project, err)
	}
	return buf.Bytes(), nil
}

// Load reads the plan at path. The error is a *FormatError when the file is there and holds no plan that can be read.
func Load(path string) (*plan.Plan, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("load plan: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("load plan from %s: %w", path, err)
	}
	if len(data) > maxSize {
		return nil, &FormatError{Path: path, Why: "it is too large to be a plan"}
	}
	p, err := Decode(data)
	var bad *FormatError
	if errors.As(err, &bad) {
		bad.Path = path
	}
	return p, err
}

// Decode reads the bytes of a file. Its errors are *FormatError.
func Decode(data []byte) (*plan.Plan, error) {
	var head struct {
		Kind   string `json:"kind"`
		Format int    `json:"format"`
		Tool   string `json:"tool"`
	}
	if err := json.Unmarshal(data, &head); err != nil || head.Kind != magic {
		return nil, &FormatError{Why: "it is not a plan that microagent saved"}
	}
	if head.Format != plan.Format {
		return nil, &FormatError{Format: head.Format, Tool: head.Tool, Why: fmt.Sprintf("its format %d is not known", head.Format)}
	}
	var doc document
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&doc); err != nil {
		return nil, &FormatError{Format: head.Format, Tool: head.Tool, Why: err.Error()}
	}
	if doc.Plan == nil {
		return nil, &FormatError{Format: head.Format, Tool: head.Tool, Why: "it has no plan in it"}
	}
	if err := check(doc.Plan); err != nil {
		return nil, &FormatError{Format: head.Format, Tool: head.Tool, Why: err.Error()}
	}
	return doc.Plan, nil
}
