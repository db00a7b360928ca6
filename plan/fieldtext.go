package plan

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"microagent/schema/quantity"
	"microagent/schema/spec"
)

func mountText(m *spec.Mount) string {
	text := string(m.Kind) + " " + m.Name
	if m.ReadOnly && m.Kind != spec.MountBundle {
		text += ", read-only"
	}
	return text
}

func sizeText(n int64) string {
	if n == 0 {
		return ""
	}
	return quantity.Size(n).String()
}

func countText(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func durationText(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return quantity.Duration(d).String()
}

func modeText(m uint32) string {
	if m == 0 {
		return ""
	}
	return fmt.Sprintf("%04o", m)
}

// commandText is a command as a flow list, "" for the image's own.
func commandText(argv []string, none bool) string {
	if len(argv) == 0 {
		if none {
			return "[]"
		}
		return ""
	}
	list := make([]string, len(argv))
	for i, word := range argv {
		list[i] = plainOr(word)
	}
	return "[" + strings.Join(list, ", ") + "]"
}

// plainOr quotes text that could be taken for something else.
func plainOr(text string) string {
	if text == "" || strings.ContainsAny(text, " \t\r\n\"',[]{}") {
		return quoted(text)
	}
	return text
}

// quoted is text in double quotes, as JSON has it: an empty value is not the same as none.
func quoted(text string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(text) != nil {
		return strconv.Quote(text)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// unchangedText is what the manifest says of an output that a run may not have changed.
func unchangedText(o *spec.Output) string {
	if o.MayBeUnchanged {
		return "allow"
	}
	return "error"
}

func bootText(b spec.Boot) string { return string(cmp.Or(b, spec.BootTemplate)) }
