package driver

import (
	"fmt"
	"strconv"
	"strings"
)

// LeftOut is what a tree of the guest had and what did not come to the host, "name: why" each, at most MaxLeftOut of
// Count. The names are the guest's words.
type LeftOut struct {
	Names []string `json:"left_out,omitempty"`
	Count int      `json:"left_out_count,omitempty"`
}

// MaxLeftOut is how many names LeftOut lists, and maxLeftName the bytes of a name that are kept.
const (
	MaxLeftOut  = 20
	maxLeftName = 255
)

// Leave notes that an entry does not come.
func (l *LeftOut) Leave(name, why string) {
	if l.Count++; len(l.Names) >= MaxLeftOut {
		return
	}
	l.Names = append(l.Names, shortened(name)+": "+why)
}

func shortened(name string) string {
	if len(name) > maxLeftName {
		return strings.ToValidUTF8(name[:maxLeftName], "") + "..."
	}
	return name
}

// Add notes what another part of the same way left out.
func (l *LeftOut) Add(more LeftOut) {
	l.Count += more.Count
	l.Names = append(l.Names, more.Names[:min(len(more.Names), MaxLeftOut-len(l.Names))]...)
}

// Summary is one printable line: how many, and the first few by name.
func (l LeftOut) Summary() string {
	const few = 5
	var names []string
	for _, name := range l.Names[:min(few, len(l.Names))] {
		if quoted := strconv.Quote(name); quoted[1:len(quoted)-1] != name {
			name = quoted
		}
		names = append(names, name)
	}
	text := fmt.Sprintf("left out %d: %s", l.Count, strings.Join(names, ", "))
	if l.Count > few {
		text += ", ..."
	}
	return text
}
