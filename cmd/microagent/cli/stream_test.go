package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"microagent/cmd/microagent/cli/term"
	"microagent/runtime/event"
)

// kept is a history that remembers, or fails.
type kept struct {
	lines []event.Event
	err   error
}

func (k *kept) Record(_ string, line []byte) error {
	var e event.Event
	if k.err != nil {
		return k.err
	}
	err := json.Unmarshal(line, &e)
	k.lines = append(k.lines, e)
	return err
}

func (k *kept) Read(context.Context, string, bool, func([]byte) error) error { return nil }

func TestHistoryKeepsABoundOfWhatATaskWrites(t *testing.T) {
	h := &kept{}
	r := &recorder{history: h, planned: true}
	line := strings.Repeat("x", 1023)
	for range 200 {
		r.keep(event.Event{Type: event.TypeOutput, Address: "task/a", Line: &line})
	}
	r.keep(event.Event{Type: event.TypeOutput, Address: "task/b", Line: new("short")})
	r.keep(event.Event{Type: event.TypeProgress, Address: "task/b"})
	r.keep(event.Event{Type: event.TypeDone, Address: "task/a"})
	var a, notes int
	for _, e := range h.lines {
		switch {
		case e.Type == event.TypeOutput && e.Address == "task/a":
			a++
		case e.Type == event.TypeNote:
			notes++
		}
	}
	if a != outputKept/1024 || notes != 1 || len(h.lines) != a+3 {
		t.Errorf("%d lines of task/a, %d notes, %d records in all", a, notes, len(h.lines))
	}
}

// leaves is a reader that goes away after some lines.
type leaves struct{ lines int }

func (l *leaves) Write(p []byte) (int, error) {
	if l.lines--; l.lines < 0 {
		return 0, &fs.PathError{Op: "write", Path: "|1", Err: syscall.EPIPE}
	}
	return len(p), nil
}

// A command whose reader went away is interrupted, and its history has an end. Any other fault of stdout hinders nothing.
func TestAStreamThatNobodyReadsIsInterrupted(t *testing.T) {
	for _, screen := range []*term.Screen{
		{Out: &leaves{2}, Err: io.Discard, JSON: true},
		{Out: io.Discard, Err: &leaves{0}, Progress: "plain"},
		{Out: io.Discard, Err: &leaves{0}, Progress: "json"},
	} {
		h := &kept{}
		a := &app{Screen: screen}
		err := a.runStreamed(t.Context(), "apply", func(ctx context.Context, s *stream) error {
			s.screen = a.Events(s.unread)
			s.begin("p", h)
			s.Emit(event.Event{Type: event.TypePlan})
			s.Emit(event.Event{Type: event.TypeDone})
			<-ctx.Done()
			return &printedError{errInterrupted}
		})
		if last := h.lines[len(h.lines)-1]; !errors.Is(err, errUnread) || exitCode(err) != ExitInterrupted || last.Type != event.TypeResult || value(last.ExitCode) != ExitInterrupted {
			t.Errorf("%+v: %v, and the last record is %+v", screen, err, last)
		}
	}
	a := &app{Screen: &term.Screen{Out: fullDisk{}, Err: io.Discard, JSON: true}}
	if err := a.runStreamed(t.Context(), "apply", func(ctx context.Context, s *stream) error {
		s.begin("p", &kept{})
		return ctx.Err()
	}); err != nil {
		t.Error(err)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestAHistoryThatFailsIsToldOfOnce(t *testing.T) {
	told := 0
	r := &recorder{history: &kept{err: errors.New("full")}, planned: true, say: func(string, ...any) { told++ }}
	for range 3 {
		r.keep(event.Event{Type: event.TypeDone})
	}
	if told != 1 {
		t.Errorf("told %d times", told)
	}
}

// TestHistoryKeepsWhatWasBegun: a command that the lock refused is no part of it; of one that waited for the lock, all is.
func TestHistoryKeepsWhatWasBegun(t *testing.T) {
	h := &kept{}
	r := &recorder{history: h}
	for _, kind := range []event.Type{event.TypeVersion, event.TypeNote, event.TypeResult} {
		r.keep(event.Event{Type: kind})
	}
	if len(h.lines) != 0 {
		t.Errorf("of a command that was refused: %+v", h.lines)
	}
	r = &recorder{history: h}
	for _, kind := range []event.Type{event.TypeVersion, event.TypeNote, event.TypePlan, event.TypeResult} {
		r.keep(event.Event{Type: kind})
	}
	if len(h.lines) != 4 || h.lines[0].Type != event.TypeVersion || h.lines[3].Type != event.TypeResult {
		t.Errorf("of a command that waited: %+v", h.lines)
	}
}

// TestPastCommands has two commands whose records lie between each other, as those of two projects' applies may, and one
// that was killed.
func TestPastCommands(t *testing.T) {
	at := time.Date(2026, 11, 28, 8, 0, 0, 0, time.UTC)
	after := func(s int) time.Time { return at.Add(time.Duration(s) * time.Second) }
	code := 3
	var list []*past
	for _, e := range []event.Event{
		{Type: event.TypeVersion, Run: "1", Command: "apply", Time: after(0)},
		{Type: event.TypeStart, Run: "1", Action: "create", Address: "volume/a", Time: after(1)},
		{Type: event.TypeVersion, Run: "2", Command: "destroy", Time: after(2)},
		{Type: event.TypeDone, Run: "1", Address: "volume/a", Time: after(3)},
		{Type: event.TypeFailed, Run: "1", Address: "task/b", Time: after(4)},
		{Type: event.TypeStart, Run: "2", Action: "delete", Address: "workspace/b", Time: after(5)},
		{Type: event.TypeResult, Run: "1", ExitCode: &code, Time: after(6)},
		{Type: event.TypeDone, Run: "of a part that is gone"},
	} {
		list = addRecord(list, e)
	}
	if len(list) != 2 {
		t.Fatalf("%d commands", len(list))
	}
	first, second := list[0], list[1]
	if first.Seconds != 6 || *first.ExitCode != 3 || first.Done != 1 || first.Failed != 1 || first.Changes[0] != "create volume/a" {
		t.Errorf("%+v", first)
	}
	if second.ExitCode != nil || second.Command != "destroy" || second.Changes[0] != "delete workspace/b" {
		t.Errorf("%+v", second)
	}
}

// unread is a history that nobody may read.
type unread struct {
	*kept
	t *testing.T
}

func (u unread) Read(context.Context, string, bool, func([]byte) error) error {
	u.t.Error("the history is read")
	return nil
}

// TestNothingIsDecidedByTheHistory: plan and apply write it, and never look at it; what was collected is in it.
func TestNothingIsDecidedByTheHistory(t *testing.T) {
	b := newBench(t)
	h := unread{&kept{}, t}
	b.world.history = h
	if err := os.WriteFile("microagent.yaml", []byte(strings.Replace(goldenManifest, "exit 3", "exit 0", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"plan", "apply --yes", "plan", "apply --yes", "destroy --yes"} {
		if s := b.run(strings.Fields(line)...); s.code != 0 {
			t.Fatalf("%s: %+v", line, s)
		}
	}
	var collected *event.Collected
	for _, e := range h.lines {
		if e.Type == event.TypeCollected {
			collected = e.Collected
		}
	}
	if collected == nil || collected.Files != 1 || collected.From != "/work/count" || !strings.HasPrefix(collected.Digest, "sha256:") {
		t.Errorf("%+v", collected)
	}
}
