package layout

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"regexp"
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
}

// NewID is a fresh incarnation id: 16 hex digits.
func NewID() string {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// RecordDigest identifies the bytes of a record file, "" when there is none.
func RecordDigest(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

var nameOnDisk = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}(\.[a-z][a-z0-9-]{0,30})?$`)

// ValidName says whether name can be an object's name on disk: "scratch", or "project.name".
func ValidName(name string) bool { return nameOnDisk.MatchString(name) }
