package logs

import (
	"bytes"
	"io"
	"testing"
)

func TestTailCountsLinesOfAStream(t *testing.T) {
	type part struct{ stream, text string }
	written := []part{
		{"stdout", "one\nDownloading... "}, {"stderr", "warn: slow\n"}, {"stdout", "done\ntwo\n"}, {"stdout", "three\nfo"}, {"stdout", "ur"},
	}
	for _, c := range []struct {
		lines       int
		out, stderr string
	}{
		{0, "", ""},
		{1, "four", ""},
		{2, "three\nfour", ""},
		{4, "Downloading... done\ntwo\nthree\nfour", ""},
		{5, "Downloading... done\ntwo\nthree\nfour", "warn: slow\n"},
		{6, "one\nDownloading... done\ntwo\nthree\nfour", "warn: slow\n"},
		{1 << 30, "one\nDownloading... done\ntwo\nthree\nfour", "warn: slow\n"},
	} {
		count := newTail(c.lines)
		streams := map[string]io.Writer{"stdout": count.stream("stdout"), "stderr": count.stream("stderr")}
		for _, p := range written {
			if n, err := io.WriteString(streams[p.stream], p.text); n != len(p.text) || err != nil {
				t.Fatal(n, err)
			}
		}
		got := map[string]*bytes.Buffer{"stdout": {}, "stderr": {}}
		skip := count.skip()
		for name, b := range got {
			var all string
			for _, p := range written {
				if p.stream == name {
					all += p.text
				}
			}
			b.WriteString(all[skip[name]:])
		}
		if got["stdout"].String() != c.out || got["stderr"].String() != c.stderr {
			t.Errorf("the last %d lines: stdout %q, stderr %q, want %q and %q", c.lines, got["stdout"], got["stderr"], c.out, c.stderr)
		}
	}
}

// What is kept of lines is bounded by how many are asked for, not by how many there are.
func TestTailKeepsFewLines(t *testing.T) {
	count := newTail(3)
	w := count.stream("stdout")
	for range 100_000 {
		if _, err := io.WriteString(w, "x\n"); err != nil {
			t.Fatal(err)
		}
	}
	if n := cap(count.last); n > 256 {
		t.Errorf("%d lines are held for 3", n)
	}
	if skip := count.skip()["stdout"]; skip != 2*(100_000-3) {
		t.Errorf("skips %d bytes", skip)
	}
}
