package layout

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPrepareIsRepeatableAndPrivate(t *testing.T) {
	s := State{Dir: filepath.Join(t.TempDir(), "deep", "state")}
	for range 2 {
		if err := s.Prepare("1.0"); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(s.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o700 {
		t.Errorf("state directory has mode %v", info.Mode())
	}
}

func TestNewerFormatIsRefusedByName(t *testing.T) {
	s := State{Dir: t.TempDir()}
	if err := os.WriteFile(s.FormatFile(), []byte(`{"format": 7, "tool": "9.9"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	var newer *NewerError
	if err := s.Prepare("1.0"); !errors.As(err, &newer) || newer.Format != 7 || newer.Tool != "9.9" {
		t.Errorf("Prepare = %v", err)
	}
	if _, err := os.Stat(s.Volumes()); err == nil {
		t.Error("a refused state directory was written to")
	}
}

func TestCheckOfNothingIsFine(t *testing.T) {
	s := State{Dir: filepath.Join(t.TempDir(), "absent")}
	if err := s.Check(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(s.Dir); err == nil {
		t.Error("Check made the state directory")
	}
}

func TestLockNamesItsHolder(t *testing.T) {
	s := State{Dir: t.TempDir()}
	unlock, err := s.Lock(context.Background(), "project", "counter", 0)
	if err != nil {
		t.Fatal(err)
	}
	var locked *LockedError
	if _, err := s.Lock(context.Background(), "project", "counter", 0); !errors.As(err, &locked) {
		t.Fatalf("second Lock = %v", err)
	}
	host, _ := os.Hostname()
	for _, want := range []string{fmt.Sprintf("pid %d, ", os.Getpid()), ", by ", "@" + host + ", since 2"} {
		if !strings.Contains(locked.Error(), want) {
			t.Errorf("%v does not say %q", locked, want)
		}
	}
	unlock()
	again, err := s.Lock(context.Background(), "project", "counter", 0)
	if err != nil {
		t.Fatal(err)
	}
	again()
}

func TestValidName(t *testing.T) {
	for name, want := range map[string]bool{
		"data": true, "counter.data": true, "run-1781167904168137239": true, "a": true,
		"": false, "Data": false, "1data": false, "a.b.c": false, "../x": false, "a/b": false, ".a": false, "a.": false,
		strings.Repeat("a", 32): false, "-a": false, "a\n": false,
	} {
		if got := ValidName(name); got != want {
			t.Errorf("ValidName(%q) = %v", name, got)
		}
	}
}
