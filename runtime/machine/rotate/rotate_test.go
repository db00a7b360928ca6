package rotate

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLogStaysWithinBoundsAndKeepsTheNewest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	w, err := Create(path, 100)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		if _, err := fmt.Fprintf(w, "line %d\n", i); err != nil {
			t.Fatal(err)
		}
		var total int64
		for _, p := range []string{path, Old(path)} {
			if info, err := os.Stat(p); err == nil {
				total += info.Size()
			}
		}
		if total > 200 {
			t.Fatalf("after line %d the log has %d bytes", i, total)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	if len(lines) < 10 || lines[len(lines)-1] != "line 999" {
		t.Fatalf("kept %q", lines)
	}
	for i, line := range lines {
		if want := fmt.Sprintf("line %d", 1000-len(lines)+i); line != want {
			t.Errorf("line %d is %q, want %q", i, line, want)
		}
	}
}

func TestCreateBeginsAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	for range 2 {
		w, err := Create(path, 4)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{"aaa", "bbb"} {
			if _, err := io.WriteString(w, s); err != nil {
				t.Fatal(err)
			}
		}
		w.Close()
	}
	w, err := Create(path, 4)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if data, err := io.ReadAll(r); err != nil || len(data) != 0 {
		t.Errorf("a log begun anew holds %q, %v", data, err)
	}
}

func TestOpenWithoutALog(t *testing.T) {
	r, err := Open(filepath.Join(t.TempDir(), "none"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if data, err := io.ReadAll(r); err != nil || len(data) != 0 {
		t.Errorf("%q, %v", data, err)
	}
}
