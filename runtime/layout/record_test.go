package layout

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type thing struct {
	Meta
	Size int `json:"size"`
}

func TestReadRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record.json")
	if err := ReadRecord(path, "thing", "a", &thing{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	for _, c := range []struct {
		text, want string
		later      bool
	}{
		{`{"format": 1, "kind": "thing", "name": "a", "size": 3, "more": {}}`, "", false},
		{`{"format": 2, "kind": "thing", "name": "a", "tool": "9.9"}`, "has format 2, written by microagent 9.9; this one knows format 1", true},
		{`{"format": 1, "kind": "thing", "name": "b"}`, `describes thing "b"`, false},
		{`{"format": 1, "kind": "other", "name": "a"}`, `describes other "a"`, false},
		{`{}`, "is no record", false},
		{`{"format": 1, "kind": "thi`, "unexpected end", false},
		{``, "unexpected end", false},
		{`{"format": "x"}`, "cannot unmarshal", false},
	} {
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := ReadRecord(path, "thing", "a", &thing{})
		if _, later := errors.AsType[*LaterRecordError](err); later != c.later || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.text, err)
		}
	}
}

// TestReplaceRecordLosesNothing: what another version wrote into a record stays in it.
func TestReplaceRecordLosesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record.json")
	now := &thing{Meta: Meta{Format: 1, Kind: "thing", Name: "a"}, Size: 4}
	for text, refused := range map[string]bool{
		"": false, `{"format": 1, "kind": "thing", "name": "a", "size": 3}`: false, `{"torn`: false,
		`{"format": 1, "kind": "thing", "name": "a", "tool": "9.9", "colour": "red"}`: true,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := ReplaceRecord(path, now)
		data, _ := os.ReadFile(path)
		later, is := errors.AsType[*LaterRecordError](err)
		if is != refused || !refused && err != nil || refused && (string(data) != text || later.Tool != "9.9" || !strings.Contains(err.Error(), `"colour"`)) {
			t.Errorf("%s: %v, and it is %s", text, err, data)
		}
	}
}
