package driver

import (
	"strings"
	"testing"
)

func TestLeftOut(t *testing.T) {
	var l LeftOut
	l.Leave("a\nerror: made up\x1b[2J", "a pipe")
	l.Leave("\u202eb", "a link")
	l.Leave(strings.Repeat("\u00fc", 4000), "a device")
	if got := l.Summary(); strings.ContainsAny(got, "\n\x1b\u202e") || !strings.HasPrefix(got, `left out 3: "a\nerror: made up\x1b[2J: a pipe", "\u202eb: a link", `) {
		t.Errorf("%s", got)
	}
	if n := len(l.Names[2]); n > 300 {
		t.Errorf("a name of %d bytes is kept", n)
	}
	var more LeftOut
	for range 3 * MaxLeftOut {
		more.Leave("x", "a socket")
	}
	l.Add(more)
	if l.Count != 3+3*MaxLeftOut || len(l.Names) != MaxLeftOut || !strings.HasSuffix(l.Summary(), ", ...") {
		t.Errorf("%d of %d: %s", len(l.Names), l.Count, l.Summary())
	}
}
