package kernel

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// TestArMembers reads archives as ar(1) writes them, and damaged ones.
func TestArMembers(t *testing.T) {
	member := func(name, size, end, data string) string {
		return fmt.Sprintf("%-16s%-12s%-6s%-6s%-8s%-10s%s", name, "0", "0", "0", "100644", size, end) + data
	}
	first := member("debian-binary", "5", arEnd, "odd..\n")
	for name, c := range map[string]struct {
		text, want string
		err        bool
		none       bool
	}{
		"behind an odd one":      {text: arMagic + first + member("data.tar/", "3", arEnd, "abc"), want: "abc"},
		"of a name with a space": {text: arMagic + member("data.tar", "3", arEnd, "abc"), want: "abc"},
		"none of the name":       {text: arMagic + first, none: true},
		"no archive":             {text: "!<arch", err: true},
		"another magic":          {text: "!<thin>\n" + first, err: true},
		"a torn header":          {text: arMagic + first[:30], err: true},
		"a torn member":          {text: arMagic + first[:62], err: true},
		"a size that is none":    {text: arMagic + member("data.tar", "x", arEnd, ""), err: true},
		"a negative size":        {text: arMagic + member("data.tar", "-1", arEnd, ""), err: true},
		"another end":            {text: arMagic + member("data.tar", "3", "``", "abc"), err: true},
	} {
		t.Run(name, func(t *testing.T) {
			r, found, err := arMember(strings.NewReader(c.text), "data.tar")
			switch {
			case c.none:
				if !errors.Is(err, io.EOF) {
					t.Errorf("%q, %v", found, err)
				}
			case c.err:
				if err == nil || errors.Is(err, io.EOF) {
					t.Errorf("%q, %v", found, err)
				}
			default:
				if err != nil || found != "data.tar" {
					t.Fatalf("%q, %v", found, err)
				}
				if got, err := io.ReadAll(r); err != nil || string(got) != c.want {
					t.Errorf("%q, %v", got, err)
				}
			}
		})
	}
}
