package denial

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestFileKeepsWhatWasAppended(t *testing.T) {
	path := filepath.Join(t.TempDir(), "network.log")
	if all, err := Read(path); err != nil || len(all) != 0 {
		t.Errorf("no file: %+v, %v", all, err)
	}
	one, two := question("one.example"), question("two.example")
	if err := Append(path, one); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"rule":"cu`); err != nil { // by a writer that was killed
		t.Fatal(err)
	}
	f.Close()
	if err := Append(path, two); err != nil {
		t.Fatal(err)
	}
	all, err := Read(path)
	if err != nil || len(all) != 2 || !reflect.DeepEqual(all[0], one) || !reflect.DeepEqual(all[1], two) {
		t.Errorf("%+v, %v", all, err)
	}
	for range 12_000 {
		if err := Append(path, one); err != nil {
			t.Fatal(err)
		}
	}
	var size int64
	for _, name := range []string{path, path + ".1"} {
		if info, err := os.Stat(name); err == nil {
			size += info.Size()
		}
	}
	if size > 2*Part {
		t.Errorf("%d bytes", size)
	}
}
