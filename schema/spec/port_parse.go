package spec

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// WantPort completes "write ..." for the flag of a published port.
const WantPort = "HOST:GUEST, such as 8080:80, auto:80 or unix:./web.sock:80"

// PortError says of a text what is wrong with it and what to write.
type PortError struct{ Text, Why, Write string }

func (e *PortError) Error() string { return fmt.Sprintf("%q %s; write %s", e.Text, e.Why, e.Write) }

func portError(text, why, write string) error { return &PortError{text, why, write} }

// rangeError is a range of more ports than a workspace has.
type rangeError struct{ count int }

func (e rangeError) Error() string {
	return fmt.Sprintf("has a range of %d ports, where a workspace has %d at most", e.count, MostPorts)
}

// numbersError is what parseNumbers has against a part of text: it has no such part, or too large a one.
func numbersError(text, has string, err error, write string) error {
	if _, ok := err.(rangeError); ok {
		return portError(text, err.Error(), fmt.Sprintf("a range of %d at most, such as 8000-8010", MostPorts))
	}
	return portError(text, has+": "+err.Error(), write)
}

// ParsePort reads "[ADDR:]HOST:GUEST[/tcp|udp]", where HOST and GUEST are a number or FIRST-LAST and HOST may be auto, and
// "unix:PATH:GUEST". An IPv6 address is in brackets. PATH is kept as it is written. An error says what to write.
func ParsePort(text string) (Port, error) {
	rest, p, err := cutProtocol(text)
	if err != nil {
		return Port{}, err
	}
	cut := strings.LastIndexByte(rest, ':')
	if cut < 0 {
		if _, _, err := parseNumbers(rest); err == nil {
			return Port{}, portError(text, "has no port of the host", "auto:"+text+" for one that is free, or "+text[:len(rest)]+":"+text)
		}
		return Port{}, portError(text, "is no published port", WantPort)
	}
	host, guest := rest[:cut], rest[cut+1:]
	if p.Guest, p.Count, err = parseNumbers(guest); err != nil {
		return Port{}, numbersError(text, "has no port of the guest", err, WantPort)
	}
	if path, ok := strings.CutPrefix(host, "unix:"); ok {
		return p.onSocket(text, path)
	}
	return p.onHost(text, host)
}

func (p Port) onSocket(text, path string) (Port, error) {
	switch {
	case path == "":
		return Port{}, portError(text, "names no socket", "unix:PATH:GUEST, such as unix:./web.sock:80")
	case strings.ContainsRune(path, 0):
		return Port{}, portError(text, "has a zero byte in its path", "unix:PATH:GUEST")
	case p.Numbers() > 1:
		return Port{}, portError(text, "has one socket for several ports", "one unix:PATH:GUEST for each")
	case p.UDP():
		return Port{}, portError(text, "has a unix socket for udp, which streams alone have", "HOST:GUEST/udp")
	}
	p.Socket = path
	return p, nil
}

func (p Port) onHost(text, host string) (Port, error) {
	if cut := strings.LastIndexByte(host, ':'); cut >= 0 {
		address, err := parseAddress(host[:cut])
		if err != nil {
			return Port{}, portError(text, err.Error(), "an address of this host, such as 0.0.0.0:8080:80 or [::]:8080:80")
		}
		p.Address, host = address, host[cut+1:]
	}
	if host == "auto" {
		p.Auto = true
		return p, nil
	}
	first, count, err := parseNumbers(host)
	switch {
	case host == "":
		return Port{}, portError(text, "has no port of the host", "auto for one that is free, such as auto:80")
	case err != nil:
		return Port{}, numbersError(text, "has no port of the host", err, WantPort)
	case count != p.Count:
		return Port{}, portError(text, fmt.Sprintf("has %d of the host for %d of the guest", max(count, 1), p.Numbers()), "as many on either side, such as 8000-8010:8000-8010, or auto")
	}
	p.Host = first
	return p, nil
}

func cutProtocol(text string) (rest string, p Port, err error) {
	cut := strings.LastIndexByte(text, '/')
	if cut < strings.LastIndexByte(text, ':') || cut < 0 { // of a path
		return text, Port{}, nil
	}
	if p, err = (Port{}).speaking(text[cut+1:]); err == nil && text[cut+1:] == "" {
		err = portError(text, "has no protocol after its /", "/tcp or /udp")
	}
	return text[:cut], p, err
}

func (p Port) speaking(protocol string) (Port, error) {
	switch Protocol(protocol) {
	case TCP, "":
	case UDP:
		p.Protocol = UDP
	default:
		return Port{}, portError(protocol, "is no protocol of a port", "tcp or udp")
	}
	return p, nil
}

// parseAddress reads an address as it is before a port.
func parseAddress(text string) (string, error) {
	bare, bracketed := strings.CutPrefix(text, "[")
	if bracketed {
		var closed bool
		if bare, closed = strings.CutSuffix(bare, "]"); !closed {
			return "", fmt.Errorf("has an address without its closing bracket")
		}
	}
	a, err := netip.ParseAddr(bare)
	switch {
	case text == "localhost":
		return "", fmt.Errorf("names localhost, which it is without an address")
	case err != nil:
		return "", fmt.Errorf("has %q where an address would be", text)
	case a.Is6() != bracketed:
		return "", fmt.Errorf("has brackets for IPv4, or none for IPv6")
	case a.Zone() != "" || a.Is4In6():
		return "", fmt.Errorf("has an address with a zone, or of IPv4 in IPv6")
	}
	return a.String(), nil
}

// ParseGuestPort reads "GUEST[/tcp|udp]": a port that is not published.
func ParseGuestPort(text string) (Port, error) {
	rest, p, err := cutProtocol(text)
	if err != nil {
		return Port{}, err
	}
	if p.Guest, p.Count, err = parseNumbers(rest); err != nil {
		return Port{}, numbersError(text, "is no port of the guest", err, "a number from 1 to 65535, such as 80")
	}
	return p, nil
}

// ManifestPort reads the values of a port in a manifest: guest is a number or FIRST-LAST, host is that, "auto", or ""
// where it is absent. Ports of the host below LowestHostPort are refused.
func ManifestPort(name, guest, host, protocol string) (Port, error) {
	p, err := Port{Name: name}.speaking(protocol)
	if err != nil {
		return Port{}, err
	}
	if p.Guest, p.Count, err = parseNumbers(guest); err != nil {
		return Port{}, numbersError(guest, "is no port of the guest", err, `a number from 1 to 65535, or "8000-8010"`)
	}
	switch host {
	case "":
		return p, nil
	case "auto":
		p.Auto = true
		return p, nil
	}
	first, count, err := parseNumbers(host)
	switch {
	case err != nil:
		return Port{}, numbersError(host, "is no port of the host", err, fmt.Sprintf("auto, or a number from %d to 65535", LowestHostPort))
	case first < LowestHostPort:
		return Port{}, portError(host, "is a port of the host that a manifest may not take", fmt.Sprintf("auto, or a number from %d; -p %s:%s of create or start takes it", LowestHostPort, host, guest))
	case count != p.Count:
		return Port{}, portError(host, fmt.Sprintf("is %d of the host for %d of the guest", max(count, 1), p.Numbers()), "as many on either side, or auto")
	}
	p.Host = first
	return p, nil
}

// parseNumbers reads "80" and "8000-8010"; count is 0 for a single one.
func parseNumbers(text string) (first uint16, count int, err error) {
	from, to, isRange := strings.Cut(text, "-")
	if isRange && from == "" { // as in -1
		from, isRange = text, false
	}
	if first, err = parseNumber(from); err != nil || !isRange {
		return first, 0, err
	}
	last, err := parseNumber(to)
	switch {
	case err != nil:
		return 0, 0, err
	case last < first:
		return 0, 0, fmt.Errorf("the range %s ends before it begins", text)
	case last == first:
		return first, 0, nil
	case int(last-first) >= MostPorts:
		return 0, 0, rangeError{int(last-first) + 1}
	}
	return first, int(last-first) + 1, nil
}

func parseNumber(text string) (uint16, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 || text[0] == '+' {
		return 0, fmt.Errorf("%q is no number from 1 to 65535", text)
	}
	return uint16(n), nil
}
