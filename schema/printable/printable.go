// Package printable makes foreign text safe to show: what a guest, an image, an archive, a registry or a manifest says
// becomes text on which no terminal acts and that no reader of a log takes for something else. Escapes are in Go's
// notation: \n, \t, \xNN for a byte that is no UTF-8 or an ASCII control, \uNNNN and \UNNNNNNNN for characters. What is
// escaped already stays as it is, so that text may pass more than once. Nothing is ever lost, but by Cut, which says so.
package printable

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Hidden says that a terminal acts on r, or shows nothing for it: controls, format characters such as bidirectional
// overrides, separators of lines and paragraphs, and what is no character.
func Hidden(r rune) bool {
	return r != ' ' && !unicode.IsGraphic(r) || r == '\u2028' || r == '\u2029'
}

// acting says that a terminal moves, retitles or reorders something for r.
func acting(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }

// Line is s as one line: everything hidden is escaped, ends of lines and tabs as well. It is the form of foreign text
// in a message of ours, on a terminal and in a pipe alike.
func Line(s string) string { return escape(s, Hidden) }

// Row is Line for a line of a program's own output, which may have columns: tabs stay.
func Row(s string) string {
	return escape(s, func(r rune) bool { return r != '\t' && Hidden(r) })
}

// Text is Line for text of several lines: their ends and tabs stay.
func Text(s string) string {
	return escape(s, func(r rune) bool { return r != '\n' && r != '\t' && Hidden(r) })
}

// stream is what a guest's own output becomes on a terminal: only what the terminal would act on is escaped.
func stream(s string) string {
	return escape(s, func(r rune) bool { return r != '\n' && r != '\t' && acting(r) })
}

// Cut bounds s to max bytes and says how much more there was.
func Cut(s string, max int) string {
	if len(s) <= max {
		return s
	}
	n := max
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return fmt.Sprintf("%s... (%d bytes more)", s[:n], len(s)-n)
}

// JSON escapes what is hidden in a JSON text, as JSON has it. Above ASCII that can only be inside strings, and below it
// an encoder has escaped it.
func JSON(s string) string {
	above := func(r rune) bool { return r >= 0x7f && Hidden(r) }
	if strings.IndexFunc(s, above) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case !above(r):
			b.WriteRune(r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			hi, lo := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, hi, lo)
		}
	}
	return b.String()
}

func escape(s string, unsafe func(rune) bool) string {
	if utf8.ValidString(s) && strings.IndexFunc(s, unsafe) < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case !unsafe(r):
			b.WriteString(s[i : i+n])
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
		i += n
	}
	return b.String()
}

// Writer writes a guest's own output to a terminal: what the terminal would act on is escaped, the rest is as it came.
// It holds back the bytes of a character, or of a line's end, that is not whole yet, until Close.
type Writer struct {
	w    io.Writer
	rest []byte
}

// NewWriter gives a Writer on w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

func (e *Writer) Write(p []byte) (int, error) {
	data := append(e.rest, p...)
	cut := len(data)
	for i := 1; i <= utf8.UTFMax && i <= len(data); i++ {
		if c := data[len(data)-i]; utf8.RuneStart(c) {
			if !utf8.FullRune(data[len(data)-i:]) {
				cut = len(data) - i
			}
			break
		}
	}
	if cut > 0 && data[cut-1] == '\r' {
		cut--
	}
	if _, err := io.WriteString(e.w, stream(strings.ReplaceAll(string(data[:cut]), "\r\n", "\n"))); err != nil {
		return 0, err
	}
	e.rest = append([]byte(nil), data[cut:]...)
	return len(p), nil
}

// Close writes what was held back: nothing comes any more that would make it whole. It does not close w.
func (e *Writer) Close() error {
	_, err := io.WriteString(e.w, stream(string(e.rest)))
	e.rest = nil
	return err
}

// JSONWriter gives a writer of whole JSON texts, one a Write, that passes them through JSON.
func JSONWriter(w io.Writer) io.Writer { return jsonWriter{w} }

type jsonWriter struct{ w io.Writer }

func (j jsonWriter) Write(p []byte) (int, error) {
	if _, err := io.WriteString(j.w, JSON(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}
