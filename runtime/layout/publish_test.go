package layout

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func TestWriteJSONLeavesEqualBytesAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record.json")
	if err := WriteJSON(path, map[string]string{"a": "<b>"}); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if before.Mode().Perm() != 0o600 {
		t.Errorf("a record has mode %v", before.Mode())
	}
	if err := WriteJSON(path, map[string]string{"a": "<b>"}); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(before, after) || !before.ModTime().Equal(after.ModTime()) {
		t.Error("equal bytes were written again")
	}
	var got map[string]string
	if err := ReadJSON(path, &got); err != nil || got["a"] != "<b>" {
		t.Errorf("read back %v, %v", got, err)
	}
	if list := names(t, filepath.Dir(path)); len(list) != 1 {
		t.Errorf("left behind: %v", list)
	}
}

func TestWriteTakesOverWhatAKilledWriterLeft(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record.json")
	stray := filepath.Join(filepath.Dir(path), ".record.json.new")
	if err := os.WriteFile(stray, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(path, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "new" {
		t.Errorf("%q, %v", data, err)
	}
	if list := names(t, filepath.Dir(path)); len(list) != 1 {
		t.Errorf("left behind: %v", list)
	}
}

func TestWritersOfOnePathNeverPublishHalfAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record.json")
	text := func(i int) []byte { return bytes.Repeat([]byte{byte('a' + i)}, 10_000) }
	var writers sync.WaitGroup
	for i := range 8 {
		writers.Go(func() {
			for range 50 {
				if err := WriteFile(path, text(i)); err != nil {
					t.Error(err)
					return
				}
				data, err := os.ReadFile(path)
				if err != nil || len(data) != 10_000 || !bytes.Equal(data, text(int(data[0]-'a'))) {
					t.Errorf("read %d bytes, %v", len(data), err)
					return
				}
			}
		})
	}
	writers.Wait()
	if list := names(t, filepath.Dir(path)); len(list) != 1 {
		t.Errorf("left behind: %v", list)
	}
}

func TestTornRecordIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record.json")
	if err := os.WriteFile(path, []byte(`{"name": "da`), 0o600); err != nil {
		t.Fatal(err)
	}
	var v any
	if err := ReadJSON(path, &v); err == nil {
		t.Error("a torn record was read")
	}
}

func TestDraftPublishesOnceAndNeverOver(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "data.ext4")
	d, err := NewDraft(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.WriteString("one"); err != nil {
		t.Fatal(err)
	}
	if list := names(t, dir); len(list) != 0 && d.temp == "" {
		t.Errorf("a draft has a name: %v", list)
	}
	if err := d.Publish(); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	other, err := NewDraft(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := other.Publish(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("publish over an existing name: %v", err)
	}
	if data, _ := os.ReadFile(path); string(data) != "one" {
		t.Errorf("content is now %q", data)
	}
}

func TestDraftWithoutPublishLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	d, err := NewDraft(filepath.Join(dir, "x"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if list := names(t, dir); len(list) != 0 {
		t.Errorf("left behind: %v", list)
	}
}
