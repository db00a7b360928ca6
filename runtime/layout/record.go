package layout

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// Meta is what every record begins with.
type Meta struct {
	Format  int    `json:"format"`
	Kind    string `json:"kind"` // "volume", "workspace", "bundle", "project"
	Name    string `json:"name"`
	ID      string `json:"id"` // of this incarnation
	Project string `json:"project,omitempty"`
	Tool    string `json:"tool"`
	// Deleting is set before the data goes: a record with it is finished off by the next command.
	Deleting bool `json:"deleting,omitempty"`

	digest string
}

// Digest is the RecordDigest of the file that the record was read from or replaced by, "" before that.
func (m *Meta) Digest() string { return m.digest }

// Head is the beginning of the record that m is embedded in.
func (m *Meta) Head() *Meta { return m }

// Record is a struct with a Meta at its beginning.
type Record interface{ Head() *Meta }

// LaterRecordError says that a record was written by a microagent that knows more of it than this one.
type LaterRecordError struct {
	Path   string
	Tool   string // that wrote it
	Format int    // of the record, above Format; 0 when it is a field that is not known
	Field  string
}

func (e *LaterRecordError) Error() string {
	if e.Format > 0 {
		return fmt.Sprintf("%s has format %d, written by microagent %s; this one knows format %d", e.Path, e.Format, e.Tool, Format)
	}
	return fmt.Sprintf("%s holds %s, which microagent %s wrote and this one doesn't know and would lose", e.Path, e.Field, e.Tool)
}

// ReadRecord reads the record of an object. The error is fs.ErrNotExist where there is none, a *LaterRecordError for one of
// a later format, and anything else for one that can't be understood. Fields that r has no place for are left out: who only
// looks needs none of them, and ReplaceRecord loses none.
func ReadRecord(path, kind, name string, r Record) error {
	data, err := readFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, r); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	r.Head().digest = digest(data)
	switch m := r.Head(); {
	case m.Format > Format:
		return &LaterRecordError{Path: path, Tool: m.Tool, Format: m.Format}
	case m.Format < 1:
		return fmt.Errorf("%s is no record", path)
	case m.Kind != kind || m.Name != name:
		return fmt.Errorf("%s describes %s %q", path, m.Kind, m.Name)
	}
	return nil
}

// ReplaceRecord publishes r, as WriteJSON does, over the record of the same object. One that has fields for which r has no
// place stays as it is, and the error is a *LaterRecordError.
func ReplaceRecord(path string, r Record) error {
	if data, err := readFile(path); err == nil {
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.DisallowUnknownFields()
		known, _ := reflect.New(reflect.TypeOf(r).Elem()).Interface().(Record)
		if err := dec.Decode(known); err != nil {
			if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
				return &LaterRecordError{Path: path, Tool: known.Head().Tool, Field: "the field " + field}
			}
		}
	}
	data, err := encode(path, r)
	if err != nil {
		return err
	}
	if err := WriteFile(path, data); err != nil {
		return err
	}
	r.Head().digest = digest(data)
	return nil
}

// NewRecordDraft is a draft with the bytes of WriteJSON of a record.
func NewRecordDraft(path string, r Record) (*Draft, error) {
	data, err := encode(path, r)
	if err != nil {
		return nil, err
	}
	d, err := newDraftOf(path, data)
	if err == nil {
		r.Head().digest = digest(data)
	}
	return d, err
}

// NewID is a fresh incarnation id: 16 hex digits.
func NewID() string {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// RecordDigest identifies the bytes of a record file, "" when there is none.
func RecordDigest(path string) string {
	data, err := readFile(path)
	if err != nil {
		return ""
	}
	return digest(data)
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// ValidName says whether name can be an object's name on disk: "scratch", or "project.name".
func ValidName(name string) bool {
	project, object, both := strings.Cut(name, ".")
	return word(project) && (!both || word(object))
}

// word says whether s is a name of [a-z][a-z0-9-]{0,30}.
func word(s string) bool {
	if len(s) > 31 || s == "" || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}
