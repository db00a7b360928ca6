package diag

import (
	"sort"
	"strings"
	"unicode/utf8"
)

// Source is the text that diagnostics are about. It finds the line of a place.
type Source struct {
	data  string
	lines []int // offset of each line's first byte
}

// NewSource indexes the lines of data. A line ends where YAML ends one: after \n, \r, \r\n, U+0085, U+2028 and
// U+2029.
func NewSource(data []byte) *Source {
	s := &Source{data: string(data), lines: []int{0}}
	for i := 0; i < len(s.data); {
		n := lineEnd(s.data[i:])
		if n == 0 {
			i++
			continue
		}
		i += n
		s.lines = append(s.lines, i)
	}
	return s
}

// lineEnd gives the length of the line end that s begins with, 0 for none.
func lineEnd(s string) int {
	switch s[0] {
	case '\n':
		return 1
	case '\r':
		if len(s) > 1 && s[1] == '\n' {
			return 2
		}
		return 1
	case 0xc2:
		if strings.HasPrefix(s, "\u0085") {
			return len("\u0085")
		}
	case 0xe2:
		if strings.HasPrefix(s, "\u2028") || strings.HasPrefix(s, "\u2029") {
			return len("\u2028")
		}
	}
	return 0
}

// Lines is the number of lines.
func (s *Source) Lines() int { return len(s.lines) }

// Line gives a line, from 1, without its end; "" when there is no such line.
func (s *Source) Line(n int) string {
	if n < 1 || n > len(s.lines) {
		return ""
	}
	end := len(s.data)
	if n < len(s.lines) {
		end = s.lines[n]
	}
	return strings.TrimRight(s.data[s.lines[n-1]:end], "\r\n\u0085\u2028\u2029")
}

// Place gives the line and column of the byte at an offset; when it lies in a line's end, those of the line's last
// place.
func (s *Source) Place(offset int) (line, col int) {
	line = sort.Search(len(s.lines), func(i int) bool { return s.lines[i] > offset })
	text := s.Line(line)
	before := min(max(offset-s.lines[line-1], 0), len(text))
	return line, utf8.RuneCountInString(text[:before]) + 1
}

// The part of a long line that a snippet shows, in characters: some before the place, and the rest after it.
const (
	snippetWidth  = 120
	snippetBefore = 60
)

// Mark gives d with its snippet filled in, and its place moved into the text if it lies outside.
func (s *Source) Mark(d Diagnostic) Diagnostic {
	if d.Pos.Line == 0 {
		return d
	}
	d.Pos.Line = min(max(d.Pos.Line, 1), len(s.lines))
	line := s.Line(d.Pos.Line)
	d.Pos.Col = min(max(d.Pos.Col, 1), utf8.RuneCountInString(line)+1)
	d.Snippet, d.SnippetCol = window(line, d.Pos.Col)
	return d
}

// window cuts a line to what is around a column.
func window(line string, col int) (string, int) {
	if len(line) <= snippetWidth {
		return line, col
	}
	from := 0
	for skip := col - 1 - snippetBefore; skip > 0; skip-- {
		_, n := utf8.DecodeRuneInString(line[from:])
		from += n
		col--
	}
	to := from
	for left := snippetWidth; left > 0 && to < len(line); left-- {
		_, n := utf8.DecodeRuneInString(line[to:])
		to += n
	}
	return line[from:to], col
}
