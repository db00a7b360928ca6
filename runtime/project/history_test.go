package project

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"microagent/runtime/machine/rotate"
)

func recorded(t *testing.T, s *Store) (lines []string) {
	t.Helper()
	err := s.Read(t.Context(), "shop", false, func(line []byte) error {
		lines = append(lines, string(line))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func TestHistoryIsRead(t *testing.T) {
	s, state := open(t)
	if lines := recorded(t, s); len(lines) != 0 {
		t.Errorf("before the first: %q", lines)
	}
	for i := range 3 {
		if err := s.Record("shop", fmt.Appendf(nil, `{"n":%d}`, i)); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(recorded(t, s), " "); got != `{"n":0} {"n":1} {"n":2}` {
		t.Error(got)
	}
	if info, err := os.Stat(state.ProjectEvents("shop")); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info, err)
	}
	if list, err := s.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("a history makes no project: %v, %v", list, err)
	}
	for _, bad := range []string{"", "../x", "a/b"} {
		if err := s.Record(bad, []byte("{}")); err == nil {
			t.Errorf("recorded for %q", bad)
		}
	}
	if err := s.Record("shop", []byte("{}\n{}")); err == nil {
		t.Error("two lines are no record")
	}
}

// TestFollowerSeesEveryLine follows while another store records, over several turns of the log.
func TestFollowerSeesEveryLine(t *testing.T) {
	reader, state := open(t)
	writer := New(state, "1.0")
	const lines = 40
	pad := strings.Repeat("x", historyPart/10)
	seen := make(chan int)
	var ended error
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		ended = reader.Read(ctx, "shop", true, func(line []byte) error {
			var n int
			if _, err := fmt.Sscanf(string(line), "%d ", &n); err != nil {
				return err
			}
			seen <- n
			return nil
		})
	}()
	for i := range lines {
		if err := writer.Record("shop", fmt.Appendf(nil, "%d %s", i, pad)); err != nil {
			t.Fatal(err)
		}
		select {
		case n := <-seen:
			if n != i {
				t.Fatalf("line %d after %d", n, i-1)
			}
		case <-done:
			t.Fatalf("ended before line %d: %v", i, ended)
		}
	}
	cancel()
	if <-done; ended != nil {
		t.Error(ended)
	}
	if _, err := os.Stat(rotate.Old(state.ProjectEvents("shop"))); err != nil {
		t.Errorf("the log was not turned: %v", err)
	}
}

// TestFollowerReadsWhatWasThere gives both parts first, and ends with the error of who reads.
func TestFollowerReadsWhatWasThere(t *testing.T) {
	s, state := open(t)
	for _, line := range []string{"old", "new"} {
		if err := s.Record("shop", []byte(line)); err != nil {
			t.Fatal(err)
		}
		if line == "old" {
			if err := os.Rename(state.ProjectEvents("shop"), rotate.Old(state.ProjectEvents("shop"))); err != nil {
				t.Fatal(err)
			}
		}
	}
	var got []string
	enough := fmt.Errorf("enough")
	err := s.Read(t.Context(), "shop", true, func(line []byte) error {
		if got = append(got, string(line)); len(got) == 2 {
			return enough
		}
		return nil
	})
	if err != enough || strings.Join(got, " ") != "old new" {
		t.Errorf("%q, %v", got, err)
	}
}
