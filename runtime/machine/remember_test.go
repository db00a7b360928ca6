package machine

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestRememberAsksOnce: a program is asked again when it is another file, where nothing can be kept, and always when it is a
// script.
func TestRememberAsksOnce(t *testing.T) {
	dir := t.TempDir()
	file, program := filepath.Join(dir, "programs.json"), filepath.Join(dir, "program")
	write := func(text string) {
		t.Helper()
		next := program + ".next"
		if err := errors.Join(os.WriteFile(next, []byte(text), 0o700), os.Rename(next, program)); err != nil {
			t.Fatal(err)
		}
	}
	asked := 0
	readOnly := false
	see := func(what, file string, want string, times int) {
		t.Helper()
		asked = 0
		for range 2 {
			got, err := Config{Versions: file, ReadOnly: readOnly}.remember(program, func() (string, error) { asked++; return want, nil })
			if err != nil || got != want {
				t.Errorf("%s: %q, %v", what, got, err)
			}
		}
		if asked != times {
			t.Errorf("%s: asked %d times, not %d", what, asked, times)
		}
	}
	write("\x7fELF one")
	see("at first", file, "1", 1)
	see("kept", file, "1", 0)
	readOnly = true
	see("kept by another", file, "1", 0)
	see("not to be kept", filepath.Join(dir, "other.json"), "1", 2)
	readOnly = false
	write("\x7fELF two")
	see("of the same size", file, "2", 1)
	see("nowhere to keep it", "", "3", 2)
	see("no folder to keep it in", filepath.Join(dir, "none", "programs.json"), "3", 2)
	if err := os.WriteFile(file, []byte("{torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	see("torn", file, "4", 1)
	write("#!/bin/sh")
	see("a script", file, "5", 2)
	if _, err := (Config{Versions: file}).remember(filepath.Join(dir, "gone"), func() (string, error) { return "", os.ErrNotExist }); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a program that is gone: %v", err)
	}
}
