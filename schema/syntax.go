package schema

import (
	"regexp"
	"strconv"
	"strings"
)

var yamlError = regexp.MustCompile(`(?s)^yaml: (?:line (\d+): )?(.*)$`)

// syntax reports what the YAML parser stopped at.
func (r *report) syntax(data []byte, err error) {
	line, text := 1, err.Error()
	if m := yamlError.FindStringSubmatch(text); m != nil {
		text = m[2]
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = n
		}
	}
	src := r.source.Line(line)
	col := 1 + len(src) - len(strings.TrimLeft(src, " "))
	r.error(place{line, col}, "syntax", "not valid YAML: "+text, "")
	_ = data
}
