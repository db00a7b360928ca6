package term

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"microagent/runtime/event"
)

// inPipe is a screen of a command whose streams are pipes.
func inPipe() (s *Screen, out, errs *bytes.Buffer) {
	out, errs = &bytes.Buffer{}, &bytes.Buffer{}
	return &Screen{In: strings.NewReader(""), Out: out, Err: errs, Getenv: func(string) string { return "" }, Progress: "auto", Color: "auto"}, out, errs
}

func TestTableInAPipe(t *testing.T) {
	s, out, _ := inPipe()
	if err := s.Table([]string{"NAME", "SIZE"}, [][]string{{"a", "1"}, {"longer", ""}}); err != nil {
		t.Fatal(err)
	}
	if want := "NAME SIZE\na 1\nlonger -\n"; out.String() != want {
		t.Errorf("%q", out)
	}
}

// TestWhereThingsAreSaid: results go to stdout and words to stderr, JSON alone with --json, and nothing but results when it
// is to be quiet.
func TestWhereThingsAreSaid(t *testing.T) {
	for _, c := range []struct {
		json                bool
		progress, out, errs string
	}{
		{false, "auto", "done a\\x07\n", "note\nsaid b\n"},
		{false, "quiet", "done a\\x07\n", ""},
		{true, "auto", "{\n  \"k\": 1\n}\n{\n  \"k\": 2\n}\n{\"k\":\"<\\u0007>\"}\n", ""},
	} {
		s, out, errs := inPipe()
		s.JSON, s.Progress = c.json, c.progress
		s.Say("note")
		if err := s.Done(map[string]int{"k": 1}, "done %s", "a\x07"); err != nil {
			t.Fatal(err)
		}
		if err := s.Said(map[string]int{"k": 2}, "said %s", "b"); err != nil {
			t.Fatal(err)
		}
		if s.JSON {
			if err := s.PrintLine(map[string]string{"k": "<\x07>"}); err != nil {
				t.Fatal(err)
			}
		}
		if out.String() != c.out || errs.String() != c.errs {
			t.Errorf("%+v: %q and %q", c, out, errs)
		}
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1 KiB", 1536: "1.5 KiB", 1 << 20: "1 MiB", 5 << 30: "5 GiB", 1<<40 + 1: "1.0 TiB"} {
		if got := Size(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

// TestLines: what several streams write in pieces becomes whole lines, each with the time of its beginning; a line without an
// end is held within bounds and comes at last.
func TestLines(t *testing.T) {
	var got []string
	l := NewLines(func(l LogLine) error {
		got = append(got, fmt.Sprintf("%s %s %d %.20s", l.Workspace, l.Stream, l.Time.Unix(), l.Line))
		return nil
	})
	write := func(workspace, stream string, at int64, text string) {
		t.Helper()
		if err := l.Write(workspace, stream, time.Unix(at, 0), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	write("a", "stdout", 1, "one\r\ntw")
	write("a", "stderr", 2, "oops\nrest")
	write("b", "stdout", 3, "other\n\n")
	write("a", "stdout", 4, "o\n")
	write("b", "stderr", 5, strings.Repeat("x", longestLine+5))
	if err := l.Flush("a"); err != nil {
		t.Fatal(err)
	}
	if err := l.Flush(""); err != nil {
		t.Fatal(err)
	}
	want := []string{"a stdout 1 one", "a stderr 2 oops", "b stdout 3 other", "b stdout 3 ", "a stdout 1 two", "b stderr 5 " + strings.Repeat("x", 20),
		"a stderr 2 rest", "b stderr 5 xxxxx"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if len(l.order) > 0 || len(l.begun) > 0 {
		t.Error("lines are held that came")
	}
}

var allEvents = []event.Event{
	{Type: event.TypeStart, Action: "run", Address: "task/a"},
	{Type: event.TypeProgress, Action: "run", Address: "task/a", Message: "layer", Done: 1, Total: 2},
	{Type: event.TypeWaiting, Action: "run", Address: "task/a", Elapsed: 10},
	{Type: event.TypeOutput, Address: "task/a", Line: new("hello\t1\x1b[2J")},
	{Type: event.TypeNote, Address: "task/a", Message: "left out 1"},
	{Type: event.TypeDone, Action: "run", Address: "task/a", Elapsed: 1.25},
	{Type: event.TypeFailed, Action: "create", Address: "volume/v", Elapsed: 0.5},
	{Type: event.TypeCut, Action: "pull", Address: "image/i", Elapsed: 2},
}

// TestEvents shows the same events in each of the ways of --progress.
func TestEvents(t *testing.T) {
	plain := "run task/a: still at it after 10.0s\na | hello\t1\\x1b[2J\ntask/a: left out 1\nrun task/a: done in 1.2s\ncreate volume/v: failed after 0.5s\n" +
		"pull image/i: interrupted after 2.0s\n"
	for _, c := range []struct {
		set  func(*Screen)
		want string
	}{
		{func(*Screen) {}, plain},
		{func(s *Screen) { s.Verbose = true }, "run task/a: started\n" + plain},
		{func(s *Screen) { s.Progress = "quiet" }, ""},
		{func(s *Screen) { s.JSON = true }, ""},
	} {
		s, out, errs := inPipe()
		c.set(s)
		v := s.Events(nil)
		for _, e := range allEvents {
			v.Emit(e)
		}
		v.Close()
		if errs.String() != c.want || out.Len() > 0 {
			t.Errorf("%q, want %q; on stdout %q", errs, c.want, out)
		}
	}
	s, _, errs := inPipe()
	s.Progress = "json"
	v := s.Events(nil)
	for _, e := range allEvents {
		v.Emit(e)
	}
	if n := strings.Count(errs.String(), "\n"); n != len(allEvents) || !strings.Contains(errs.String(), `"type":"output"`) {
		t.Errorf("as JSON %s", errs)
	}
}

// TestEventsAsBars: bars are drawn, what stays is a line, and no bar is left.
func TestEventsAsBars(t *testing.T) {
	drawn := newScreen()
	s := &Screen{Err: drawn, Getenv: func(string) string { return "" }, Progress: "tty"}
	v := s.Events(nil)
	for _, e := range allEvents[:2] {
		v.Emit(e)
	}
	drawn.waitFor(t, "run task/a: layer", "1 B of 2 B")
	for _, e := range allEvents[2:] {
		v.Emit(e)
	}
	v.Close()
	for _, line := range []string{"a | hello\t1\\x1b[2J\n", "run task/a: done in 1.2s\n"} {
		if !strings.Contains(drawn.String(), line) {
			t.Errorf("%q is not in\n%s", line, drawn)
		}
	}
}

// TestProgress: one long call is a bar, and nothing where nobody looks.
func TestProgress(t *testing.T) {
	drawn := newScreen()
	s := &Screen{Err: drawn, Getenv: func(string) string { return "" }, Progress: "tty"}
	show, done := s.StartProgress("pull image x")
	show("layer", 1<<20, 2<<20)
	drawn.waitFor(t, "pull image x: layer", "1 MiB of 2 MiB")
	done()
	for _, mode := range []string{"plain", "json", "quiet"} {
		s, _, errs := inPipe()
		s.Progress = mode
		show, done := s.StartProgress("pull image x")
		if show != nil {
			show("layer", 1, 2) // a call that ends soon says nothing
		}
		if done(); errs.Len() > 0 || (show == nil) != (mode == "quiet") {
			t.Errorf("%s: %q", mode, errs)
		}
	}
}
