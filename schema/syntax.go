package schema

import (
	"bytes"
	"errors"
	"io"
	"sort"
	"strconv"
	"strings"

	"microagent/schema/pattern"
	"microagent/schema/printable"

	"gopkg.in/yaml.v3"
)

// yamlError takes the parser's errors apart. The line is near the place only: for some errors it is where the
// broken mapping begins, or one less.
var yamlError = pattern.Of(`(?s)^yaml: (?:line (\d+): )?(.*)$`)

// maxLocated is the size up to which the place of a syntax error is searched for: some thirty more parses.
const maxLocated = 256 << 10

// syntax reports what the YAML parser stopped at.
func (r *report) syntax(data []byte, err error) {
	at, text := place{1, 1}, err.Error()
	if m := yamlError().FindStringSubmatch(text); m != nil {
		text = m[2]
		if n, err := strconv.Atoi(m[1]); err == nil {
			src := r.source.Line(n)
			at = place{n, 1 + len(src) - len(strings.TrimLeft(src, " "))}
		}
	}
	if found, ok := r.locate(data, err.Error()); ok {
		at = found
	}
	line := r.source.Line(at.line)
	indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
	if tab := strings.IndexByte(indent, '\t'); tab >= 0 {
		r.error(place{at.line, tab + 1}, "tab_indentation", "a tab can't indent YAML", "indent with spaces, two a level")
		return
	}
	r.error(at, "syntax", "not valid YAML: "+printable.Line(text), syntaxAdvice(text))
}

// syntaxAdvice says what usually is behind an error. What it does not know it leaves to the parser's own words.
func syntaxAdvice(text string) string {
	switch {
	case strings.Contains(text, "mapping values are not allowed"):
		return "put a text that has a colon and a space in it in quotes, and write one key a line"
	case strings.Contains(text, "cannot start any token"):
		return "put a text that begins with @, `, % or a tab in quotes"
	case strings.Contains(text, "unexpected end of stream"):
		return "close the quote that begins here"
	case strings.Contains(text, "did not find expected key"):
		return "indent keys of one mapping alike"
	case strings.Contains(text, "did not find expected ','"):
		return "close the bracket, and put commas between what it holds"
	case strings.Contains(text, "unknown escape character"):
		return `in double quotes write \\ for a backslash, and / without one; or use single quotes`
	case strings.Contains(text, "unknown anchor"):
		return "define the anchor before it is used, or put a text that begins with * in quotes"
	}
	return ""
}

// locate finds where a syntax error becomes certain: the end of the shortest beginning of the manifest that gives the
// same error. The parser reads forward and stops at the error, so every longer beginning gives it as well.
func (r *report) locate(data []byte, same string) (place, bool) {
	if len(data) > maxLocated {
		return place{}, false
	}
	fails := func(n int) bool { return syntaxError(data[:n]) == same }
	n := sort.Search(len(data), fails)
	if n == 0 || !fails(n) {
		return place{}, false
	}
	n--
	for n > 0 && isWord(data[n]) && isWord(data[n-1]) {
		n--
	}
	if n > 0 && data[n-1] == '*' {
		n--
	}
	line, col := r.source.Place(n)
	return place{line, col}, true
}

func isWord(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '_' || b == '-' || b >= 0x80
}

// syntaxError gives the parser's error for a text of at most two documents, "" for none.
func syntaxError(data []byte) string {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for range 2 {
		var n yaml.Node
		if err := dec.Decode(&n); errors.Is(err, io.EOF) {
			return ""
		} else if err != nil {
			return err.Error()
		}
	}
	return ""
}
