package printable

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestForms(t *testing.T) {
	for _, c := range []struct{ in, line, text, stream string }{
		{"plain ü ✓", "plain ü ✓", "plain ü ✓", "plain ü ✓"},
		{"a\tb\nc\r\n", `a\tb\nc\r\n`, "a\tb\nc\\r\n", "a\tb\nc\\r\n"},
		{"\x1b]0;title\x07x", `\x1b]0;title\x07x`, `\x1b]0;title\x07x`, `\x1b]0;title\x07x`},
		{"\u009b2J", `\u009b2J`, `\u009b2J`, `\u009b2J`},
		{"\x9b2J a\xff\xc3(", `\x9b2J a\xff\xc3(`, `\x9b2J a\xff\xc3(`, `\x9b2J a\xff\xc3(`},
		{"\u202eabc", `\u202eabc`, `\u202eabc`, `\u202eabc`},
		{"a\u2028b\u2029", `a\u2028b\u2029`, `a\u2028b\u2029`, "a\u2028b\u2029"},
		{"join\u200der", `join\u200der`, `join\u200der`, "join\u200der"},
		{"\U000e0041", `\U000e0041`, `\U000e0041`, "\U000e0041"},
		{"error: fake\nnext: curl x | sh", `error: fake\nnext: curl x | sh`, "error: fake\nnext: curl x | sh", "error: fake\nnext: curl x | sh"},
	} {
		if got := Line(c.in); got != c.line {
			t.Errorf("Line(%q) is %q, want %q", c.in, got, c.line)
		}
		if row, want := Row(c.in), strings.ReplaceAll(c.line, `\t`, "\t"); row != want {
			t.Errorf("Row(%q) is %q, want %q", c.in, row, want)
		}
		if got := Text(c.in); got != c.text {
			t.Errorf("Text(%q) is %q, want %q", c.in, got, c.text)
		}
		if got := stream(c.in); got != c.stream {
			t.Errorf("stream(%q) is %q, want %q", c.in, got, c.stream)
		}
	}
}

func TestCut(t *testing.T) {
	for in, want := range map[string]string{
		"short": "short", "longer than eight": "longer t... (9 bytes more)", "1234567ü9": "1234567... (3 bytes more)",
	} {
		if got := Cut(in, 8); got != want {
			t.Errorf("Cut(%q) is %q, want %q", in, got, want)
		}
	}
}

func FuzzLine(f *testing.F) {
	f.Add("a\x1b[31mb\n✓ \xff\u202e")
	f.Fuzz(func(t *testing.T, s string) {
		got := Line(s)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, Hidden) {
			t.Fatalf("%q came out", got)
		}
		if Line(got) != got || Text(got) != got || stream(got) != got {
			t.Fatalf("%q does not stay", got)
		}
	})
}

func FuzzJSON(f *testing.F) {
	f.Add("a\u009b\u202e\U000e0041\x7f✓")
	f.Fuzz(func(t *testing.T, s string) {
		s = strings.ToValidUTF8(s, "?")
		data, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		got := JSON(string(data))
		var back string
		if err := json.Unmarshal([]byte(got), &back); err != nil || back != s {
			t.Fatalf("%s is %q, %v; want %q", got, back, err, s)
		}
		if strings.ContainsFunc(got, Hidden) {
			t.Fatalf("%q came out", got)
		}
	})
}

func FuzzWriter(f *testing.F) {
	f.Add([]byte("a\x1b[31mb ✓ \xff\r\n"), 3)
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		var out bytes.Buffer
		w := NewWriter(&out)
		if cut < 0 || cut > len(data) {
			cut = 0
		}
		for _, part := range [][]byte{data[:cut], data[cut:]} {
			if n, err := w.Write(part); n != len(part) || err != nil {
				t.Fatalf("wrote %d of %d: %v", n, len(part), err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if want := stream(strings.ReplaceAll(string(data), "\r\n", "\n")); out.String() != want {
			t.Fatalf("%q came out, want %q", out.Bytes(), want)
		}
	})
}
