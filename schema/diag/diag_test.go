package diag

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"microagent/schema/printable"
)

func problem(line, col int, summary string) Diagnostic {
	return Diagnostic{Severity: Error, Code: "bad_value", Summary: summary, Pos: Pos{File: "m.yaml", Line: line, Col: col}}
}

func TestListOrderAndDuplicates(t *testing.T) {
	var l List
	if l.Err() != nil || l.Errors() || l.All() != nil {
		t.Fatal("the zero list is not empty")
	}
	warning := problem(2, 1, "a")
	warning.Severity = Warning
	l.Add(warning)
	if l.Err() != nil || l.Errors() {
		t.Error("a warning is no error")
	}
	for _, d := range []Diagnostic{problem(10, 1, "x"), problem(2, 9, "x"), problem(2, 1, "z"), problem(2, 1, "b"), problem(2, 9, "x")} {
		l.Add(d)
	}
	var got []string
	for _, d := range l.All() {
		got = append(got, fmt.Sprintf("%d:%d %s %s", d.Pos.Line, d.Pos.Col, d.Severity, d.Summary))
	}
	if s := strings.Join(got, "; "); s != "2:1 error b; 2:1 error z; 2:1 warning a; 2:9 error x; 10:1 error x" {
		t.Error(s)
	}
	if errs, warnings := l.Count(); errs != 4 || warnings != 1 {
		t.Errorf("%d errors, %d warnings", errs, warnings)
	}
}

func TestListErr(t *testing.T) {
	var l List
	l.Add(problem(3, 1, "second"))
	l.Add(problem(2, 1, "first"))
	err := fmt.Errorf("load: %w", l.Err())
	var d *Diagnostic
	if !errors.As(err, &d) || d.Summary != "first" {
		t.Errorf("%v holds %+v", err, d)
	}
	if err.Error() != "load: m.yaml:2:1: first (and 1 more)" {
		t.Error(err)
	}
}

func TestWriteTextIsCapped(t *testing.T) {
	var l List
	for i := range 60 {
		l.Add(problem(i+1, 1, "x"))
	}
	for most, more := range map[int]string{0: "and 10 more\n", 59: "and 1 more\n", 60: "", 3: "and 57 more\n"} {
		var b bytes.Buffer
		if err := l.WriteText(&b, most); err != nil {
			t.Fatal(err)
		}
		shown := strings.Count(b.String(), "error: x")
		if most == 0 {
			most = Shown
		}
		if shown != most || !strings.HasSuffix(b.String(), "error: x\n"+more) {
			t.Errorf("%d shown of %d: %s", shown, most, b.String()[b.Len()-30:])
		}
	}
	if err := l.WriteText(full{}, 0); err == nil {
		t.Error("a write that fails is not reported")
	}
	if err := l.WriteJSON(full{}); err == nil {
		t.Error("a write that fails is not reported")
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space") }

// Whatever a manifest holds, neither writer sends it to a terminal as it is, and JSON keeps it.
func TestWritersEscape(t *testing.T) {
	nasty := "\x1b[31m\a\u009b1m\u202e\u2066\u00ad\x7f\u2028\U000e0001é\t."
	d := Diagnostic{Severity: Error, Code: "x", Summary: nasty, Detail: nasty, Next: nasty, Snippet: nasty, SnippetCol: 5,
		Pos: Pos{File: nasty, Line: 1, Col: 5}}
	var l List
	l.Add(d)
	var text, js bytes.Buffer
	if err := errors.Join(l.WriteText(&text, 0), l.WriteJSON(&js)); err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{text.String(), js.String(), l.Err().Error()} {
		for _, r := range strings.ReplaceAll(out, "\n", "") {
			if !unicode.IsGraphic(r) || r == '\u2028' {
				t.Errorf("%U in %s", r, out)
			}
		}
	}
	if n := strings.Count(text.String(), "\n"); n != 5 {
		t.Errorf("%d lines in %s", n, text.String())
	}
	var back Diagnostic
	if err := json.Unmarshal(js.Bytes(), &back); err != nil || back != d {
		t.Errorf("%+v, %v", back, err)
	}
	if got := printable.Line("a\xff\xc3(b"); got != `a\xff\xc3(b` {
		t.Error(got)
	}
}

func TestJSONShape(t *testing.T) {
	b, err := json.Marshal(Diagnostic{Severity: Warning, Code: "unused", Summary: "s"})
	if err != nil || string(b) != `{"severity":"warning","code":"unused","summary":"s"}` {
		t.Errorf("%s, %v", b, err)
	}
}

func TestSource(t *testing.T) {
	s := NewSource([]byte("one\r\ntwo\rthree\u2028fo\u00fcr\n\nlast"))
	for i, want := range []string{"", "one", "two", "three", "fo\u00fcr", "", "last", ""} {
		if got := s.Line(i); got != want {
			t.Errorf("line %d is %q, want %q", i, got, want)
		}
	}
	if s.Lines() != 6 {
		t.Errorf("%d lines", s.Lines())
	}
	if line, col := s.Place(strings.Index(s.data, "\u00fc") + 2); line != 4 || col != 4 {
		t.Errorf("%d:%d", line, col)
	}
	for _, p := range []Pos{{"m", 99, 99}, {"m", 1, 0}, {"m", 5, 7}} {
		d := s.Mark(Diagnostic{Pos: p})
		if d.Pos.Line > 6 || d.Pos.Col < 1 || d.Pos.Col > len(s.Line(d.Pos.Line))+1 {
			t.Errorf("%v became %v", p, d.Pos)
		}
	}
}

func TestSnippetOfALongLine(t *testing.T) {
	line := strings.Repeat("\u00e9", 500) + "X" + strings.Repeat("b", 500)
	d := NewSource([]byte(line)).Mark(Diagnostic{Pos: Pos{"m", 1, 501}})
	r := []rune(d.Snippet)
	if len(r) != snippetWidth || r[d.SnippetCol-1] != 'X' || d.Pos.Col != 501 {
		t.Errorf("%d characters, column %d: %s", len(r), d.SnippetCol, d.Snippet)
	}
}

func TestCaret(t *testing.T) {
	d := NewSource([]byte("\u65e5\u672c e\u0301 \x1b X")).Mark(problem(1, 9, "x"))
	lines := strings.Split(d.Text(), "\n")
	if i := strings.IndexByte(lines[2], '^'); i != width("  | ")+width(`日本 é \x1b `) {
		t.Errorf("caret in column %d:\n%s", i, d.Text())
	}
}
