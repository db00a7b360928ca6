// Package hello reads the first bytes of a connection for the name of the server that a TLS handshake asks for.
//
// It promises an answer after at most Most bytes, and to take nothing for a handshake that two readers could understand
// in two ways. It never looks at anything else of a connection, and never changes a byte.
package hello

import (
	"golang.org/x/crypto/cryptobyte"

	"microagent/runtime/network/policy"
)

// Most is how many bytes a ClientHello may take with the headers of its records. A browser's of 2026 with keys of ML-KEM
// and a ticket has 2 to 4 KiB.
const Most = 16 << 10

// Of the records and handshakes of TLS: RFC 8446, sections 4, 4.1.2 and 5.1; RFC 6066, section 3; RFC 9849.
const (
	recordHandshake  = 22
	longestRecord    = 1 << 14
	typeClientHello  = 1
	extensionName    = 0
	nameOfHost       = 0
	extensionECH     = 0xfe0d
	extensionOldESNI = 0xffce // a draft of ECH that servers still know
)

// Read reads what a connection begins with. more says that b is too short for an answer; a caller that has Most bytes
// gets one.
func Read(b []byte) (h policy.Hello, more bool) {
	handshake, whole, ok := join(b)
	if !ok {
		return policy.Hello{}, false
	}
	message := cryptobyte.String(handshake)
	var kind uint8
	var size uint32
	if !message.ReadUint8(&kind) {
		return policy.Hello{}, short(b, whole)
	}
	if kind != typeClientHello {
		return policy.Hello{}, false
	}
	if !message.ReadUint24(&size) {
		return policy.Hello{}, short(b, whole)
	}
	var body []byte
	if size > Most {
		return policy.Hello{}, false
	}
	if !message.ReadBytes(&body, int(size)) {
		return policy.Hello{}, short(b, whole)
	}
	return readClientHello(body), false
}

func short(b []byte, whole bool) bool { return len(b) < Most && !whole }

// join takes the handshake out of its records: a hello may be cut anywhere. whole says that what follows is no record of a
// handshake, so that nothing more comes; ok is false when b begins with no such record.
func join(b []byte) (handshake []byte, whole, ok bool) {
	b = b[:min(len(b), Most)]
	rest := cryptobyte.String(b)
	for !rest.Empty() && !complete(handshake) {
		if rest[0] != recordHandshake {
			return handshake, true, len(handshake) > 0
		}
		if len(rest) > 1 && rest[1] != 3 { // the major version
			return nil, true, false
		}
		var header []byte
		if !rest.ReadBytes(&header, 5) {
			return handshake, false, true
		}
		size := int(header[3])<<8 | int(header[4])
		if size == 0 || size > longestRecord {
			return nil, true, false
		}
		size = min(size, len(rest))
		handshake, rest = append(handshake, rest[:size]...), rest[size:]
	}
	return handshake, false, true
}

// complete says that b holds a whole message, so that what follows in its connection does not matter.
func complete(b []byte) bool {
	return len(b) >= 4 && len(b) >= 4+(int(b[1])<<16|int(b[2])<<8|int(b[3]))
}

// readClientHello reads one that is whole. One that is not as it has to be is none.
func readClientHello(body []byte) policy.Hello {
	s := cryptobyte.String(body)
	var sessionID, suites, compression, extensions cryptobyte.String
	if !s.Skip(2+32) || // version and random
		!s.ReadUint8LengthPrefixed(&sessionID) || !s.ReadUint16LengthPrefixed(&suites) || !s.ReadUint8LengthPrefixed(&compression) {
		return policy.Hello{}
	}
	h := policy.Hello{TLS: true}
	if s.Empty() {
		return h
	}
	if !s.ReadUint16LengthPrefixed(&extensions) || !s.Empty() {
		return policy.Hello{}
	}
	named := false
	for !extensions.Empty() {
		var kind uint16
		var data cryptobyte.String
		if !extensions.ReadUint16(&kind) || !extensions.ReadUint16LengthPrefixed(&data) {
			return policy.Hello{}
		}
		switch kind {
		case extensionECH, extensionOldESNI:
			h.ECH = true
		case extensionName:
			name, ok := readName(data)
			if !ok || named {
				return policy.Hello{}
			}
			h.Name, named = name, true
		}
	}
	return h
}

// readName reads the list of names, which has one.
func readName(data cryptobyte.String) (string, bool) {
	var list, name cryptobyte.String
	var kind uint8
	if !data.ReadUint16LengthPrefixed(&list) || !data.Empty() ||
		!list.ReadUint8(&kind) || kind != nameOfHost || !list.ReadUint16LengthPrefixed(&name) || !list.Empty() || name.Empty() {
		return "", false
	}
	return string(name), true
}
