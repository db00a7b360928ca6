package dnsname

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"example.com": "example.com", "Example.COM.": "example.com", "bücher.example": "xn--bcher-kva.example", "BÜCHER.example": "xn--bcher-kva.example",
		"xn--bcher-kva.example": "xn--bcher-kva.example", "straße.example": "xn--strae-oqa.example", "deb.debian。org": "deb.debian.org",
		"ｄｅｂ.debian.org": "deb.debian.org", "db": "db", "a-b.example": "a-b.example", "1.example": "1.example", "xn--fiqs8s": "xn--fiqs8s",
	} {
		if got, err := Parse(text); err != nil || got != want {
			t.Errorf("%s is %q, %v; not %q", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"": "is empty", ".": "is empty", "a..b": "is no name", "192.0.2.1": "is an address", "[2001:db8::1]": "is an address", "2001:db8::1": "is an address",
		"127.1": "is an address", "0x7f.0.0.1": "is an address", "0x7f000001": "is an address", "2130706433": "is an address", "１２７.1": "is an address",
		"*.example.com": "has a *", "*": "has a *", "https://example.com": "more than a name", "example.com:443": "more than a name", "a@b.example": "more than a name",
		"a_b.example": "is no name", "-a.example": "is no name", "a b.example": "is no name", "xn--a.example": "is no name", "a\x00.example": "is no name",
		strings.Repeat("a", 64) + ".example": "is no name", strings.Repeat("a.", 127) + "abcde": "is no name",
	} {
		if got, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is %q, %v", text, got, err)
		}
	}
}

func TestWithin(t *testing.T) {
	for name, want := range map[string]bool{"debian.org": true, "deb.debian.org": true, "notdebian.org": false, "org": false, "debian.org.example": false, "": false} {
		if Within(name, "debian.org") != want {
			t.Errorf("%s within debian.org is not %t", name, want)
		}
	}
}

func TestOfService(t *testing.T) {
	for name, want := range map[string]string{"_http._tcp.deb.debian.org": "deb.debian.org", "a._tcp.b": "a._tcp.b", "_x": "_x", "a": "a"} {
		if got := OfService(name); got != want {
			t.Errorf("%s is of %s, not %s", name, got, want)
		}
	}
}

// FuzzParse: one reading is enough, and what a person may write a program may send.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"Example.COM.", "bücher.example", "xn--bcher-kva.example", "127.1", "ｄｅｂ。org", "a_b", "xn--"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		name, err := Parse(text)
		if err != nil {
			return
		}
		if again, err := Parse(name); err != nil || again != name {
			t.Errorf("%q is %q, and that is %q, %v", text, name, again, err)
		}
		if sent, err := Wire(name); err != nil || sent != name {
			t.Errorf("%q is %q, and sent %q, %v", text, name, sent, err)
		}
	})
}
