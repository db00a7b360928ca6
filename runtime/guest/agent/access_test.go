package agent

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestFindAsTheUser needs root, as the agent has it; without, only what the caller may execute is looked at.
func TestFindAsTheUser(t *testing.T) {
	dir := t.TempDir()
	for d := dir; d != "/"; d = filepath.Dir(d) { // another user must get there
		if info, err := os.Stat(d); err == nil && info.Mode().Perm()&1 == 0 {
			_ = os.Chmod(d, 0o755)
		}
	}
	for name, mode := range map[string]os.FileMode{"private/prog": 0o755, "mine/prog": 0o700, "open/prog": 0o755, "open/data": 0o644} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	id := identity{uid: uint32(os.Getuid()), gid: uint32(os.Getgid())}
	if id.uid == 0 {
		if err := os.Chmod(filepath.Join(dir, "private"), 0o700); err != nil {
			t.Fatal(err)
		}
		id = identity{uid: 1000, gid: 1000}
		path := filepath.Join(dir, "private") + ":" + filepath.Join(dir, "mine") + ":" + filepath.Join(dir, "open")
		if got, err := find("prog", "/", path, id.runnable); err != nil || got != filepath.Join(dir, "open/prog") {
			t.Errorf("found %s, %v", got, err)
		}
		_, err := find("prog", "/", filepath.Join(dir, "private")+":"+filepath.Join(dir, "none"), id.runnable)
		if nr, ok := errors.AsType[*notRun](err); !ok || nr.code != 126 {
			t.Errorf("what the user may not execute gives %v", err)
		}
		if err := (&identity{}).runnable(filepath.Join(dir, "private/prog")); err != nil {
			t.Errorf("root: %v", err)
		}
	}
	for name, code := range map[string]int{"open/data": 126, "open/none": 127, "open": 126, "open/data/x": 127} {
		err := id.runnable(filepath.Join(dir, name))
		if nr, ok := errors.AsType[*notRun](err); !ok || nr.code != code {
			t.Errorf("%s gives %v, want code %d", name, err, code)
		}
	}
	if err := id.runnable(filepath.Join(dir, "open/prog")); err != nil {
		t.Error(err)
	}
}
