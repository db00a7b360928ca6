// Package dnsname has the one form in which names of hosts are compared: lower-case A-labels (RFC 5890, section 2.3.2.1)
// without a dot at the end.
//
// It promises that two spellings that a resolver takes for one name are one here. It never lets an address pass for a
// name, in whichever notation a program would read it as one.
package dnsname

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// longest is how many bytes a name has at most without the dot at its end: 255 on the wire (RFC 1035, section 2.3.4).
const longest = 253

// typed is how names that people write are read: as in UTS 46, not transitional.
var typed = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.CheckJoiners(true), idna.Transitional(false), idna.StrictDomainName(true), idna.VerifyDNSLength(true))

// Parse reads a name that somebody wrote, in Unicode or A-labels, in any case, with or without a dot at its end. An error
// completes "NAME ...".
func Parse(text string) (string, error) {
	bare := strings.TrimSuffix(text, ".")
	if _, err := netip.ParseAddr(strings.Trim(bare, "[]")); err == nil {
		return "", errors.New("is an address")
	}
	if bare == "" {
		return "", errors.New("is empty")
	}
	if strings.Contains(bare, "*") {
		return "", errors.New("has a *")
	}
	if strings.ContainsAny(bare, "/:@") {
		return "", errors.New("is more than a name")
	}
	name, err := typed.ToASCII(bare)
	if err != nil || !utf8.ValidString(text) {
		return "", errors.New("is no name of a host")
	}
	// Some code points survive the mapping as another name, which nobody has written: what it gives must be its own.
	if again, err := typed.ToASCII(name); err != nil || again != name {
		return "", errors.New("is no name of a host")
	}
	return check(strings.TrimSuffix(name, "."))
}

// Wire reads a name that a program sent, in a DNS question or in a ClientHello: it has to be ASCII already. Labels may
// have underscores, as those of services do (RFC 2782).
func Wire(text string) (string, error) {
	return check(strings.TrimSuffix(lower(text), "."))
}

// lower changes the case of ASCII alone: what is not ASCII is refused afterwards, and must not become it.
func lower(text string) string {
	b := []byte(text)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

func check(name string) (string, error) {
	if name == "" {
		return "", errors.New("is empty")
	}
	if len(name) > longest {
		return "", fmt.Errorf("has more than %d bytes", longest)
	}
	last := ""
	for label := range strings.SplitSeq(name, ".") {
		switch {
		case label == "":
			return "", errors.New("has an empty label")
		case len(label) > 63:
			return "", errors.New("has a label of more than 63 bytes")
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return "", errors.New("has a byte that no name of a host has")
			}
		}
		last = label
	}
	if numeric(last) {
		return "", errors.New("is an address")
	}
	return name, nil
}

// numeric says whether a name that ends in label is read as an address of IPv4, as inet_aton(3) does: 127.1 is one.
func numeric(label string) bool {
	_, err := strconv.ParseUint(label, 0, 64)
	return err == nil || strings.Trim(label, "0123456789") == "" || label == "0x"
}

// Within says whether name is suffix or below it; both are as Parse or Wire give them.
func Within(name, suffix string) bool {
	above, ok := strings.CutSuffix(name, suffix)
	return ok && (above == "" || above[len(above)-1] == '.')
}

// OfService gives the name whose service name asks for: without its labels that begin with an underscore, as
// example.com of _http._tcp.example.com.
func OfService(name string) string {
	for strings.HasPrefix(name, "_") {
		_, rest, ok := strings.Cut(name, ".")
		if !ok {
			return name
		}
		name = rest
	}
	return name
}
