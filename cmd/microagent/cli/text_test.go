package cli

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"microagent/runtime/driver"
)

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain\ttext\n":     "plain\ttext\n",
		"\x1b]0;title\x07x": "\\x1b]0;title\\x07x",
		"a\rb":              "a\\x0db",
		"\u202eabc":         "\\u202eabc",
		"\x9b2J":            "\\x9b2J",
		"\u009b2J":          "\\x9b2J",
		"naïve ✓":           "naïve ✓",
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) is %q, want %q", in, got, want)
		}
	}
}

func FuzzEscaper(f *testing.F) {
	f.Add([]byte("a\x1b[31mb ✓ \xff"), 3)
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		var out bytes.Buffer
		e := &escaper{w: &out}
		if cut < 0 || cut > len(data) {
			cut = 0
		}
		for _, part := range [][]byte{data[:cut], data[cut:]} {
			if n, err := e.Write(part); n != len(part) || err != nil {
				t.Fatalf("wrote %d of %d: %v", n, len(part), err)
			}
		}
		e.end()
		if want := printable(strings.ReplaceAll(string(data), "\r\n", "\n")); out.String() != want {
			t.Fatalf("%q came out, want %q", out.Bytes(), want)
		}
		if !utf8.Valid(out.Bytes()) || strings.ContainsFunc(out.String(), unsafeRune) {
			t.Fatalf("%q came out", out.Bytes())
		}
	})
}

func TestCutMount(t *testing.T) {
	for _, c := range []struct {
		in   string
		want attachment
		bad  bool
	}{
		{in: "data:/work", want: attachment{kind: driver.MountVolume, name: "data", path: "/work"}},
		{in: "counter.data:/work:ro", want: attachment{kind: driver.MountVolume, name: "counter.data", path: "/work", readOnly: true}},
		{in: "data:/work:size=1GiB", want: attachment{kind: driver.MountVolume, name: "data", path: "/work", size: 1 << 30}},
		{in: "/x/config.tar.gz:/config", want: attachment{kind: driver.MountBundle, name: "config", source: "/x/config.tar.gz", path: "/config", readOnly: true}},
		{in: "/a:b/m.ext4:/m:rw", want: attachment{kind: driver.MountDisk, name: "m", source: "/a:b/m.ext4", path: "/m"}},
		{in: "/x/config.tar:/config:rw", bad: true},
		{in: "data", bad: true},
		{in: "data:work", bad: true},
		{in: "data:/work:rx", bad: true},
		{in: "/tmp:/tmp", bad: true},
	} {
		got, err := parseVolume(c.in)
		if (err != nil) != c.bad {
			t.Errorf("%s: %v", c.in, err)
		}
		if !c.bad && got != c.want {
			t.Errorf("%s: %+v, want %+v", c.in, got, c.want)
		}
	}
}
