package outlog

import "time"

// digit marks a record of no bytes as a digit of a number: six bits of it, the highest first, in the byte of its stream.
// more is set in all but a number's last.
const (
	digit = 0x80
	more  = 0x40
)

// appendNumber writes a number as records of no bytes.
func appendNumber(to []byte, n uint64) []byte {
	var digits []byte
	for d := byte(n & 0x3f); ; d = byte(n&0x3f) | more {
		digits = append(digits, digit|d)
		if n >>= 6; n == 0 {
			break
		}
	}
	for i := range digits {
		to = append(to, digits[len(digits)-1-i], 0, 0, 0, 0)
	}
	return to
}

// marks is what the numbers of a part say up to some place in it: the first is the part's own, the second when it began,
// in milliseconds since 1970, each further one how many later the records behind it came.
type marks struct {
	known int
	part  uint64
	at    uint64 // milliseconds
	begun uint64 // of a number whose last digit has not come
}

// take takes a record of no bytes.
func (m *marks) take(stream byte) {
	if stream&digit == 0 {
		return
	}
	n := m.begun<<6 | uint64(stream&0x3f)
	if m.begun = n; stream&more != 0 {
		return
	}
	m.begun = 0
	switch m.known++; m.known {
	case 1:
		m.part = n
	case 2:
		m.at = n
	default:
		m.at += n
	}
}

// lastTime is the last that JSON can say.
const lastTime = 253402300799999

// time is when the records behind the last mark came; zero in a log that has none.
func (m *marks) time() time.Time {
	if m.known < 2 || m.at > lastTime {
		return time.Time{}
	}
	return time.UnixMilli(int64(m.at)).UTC()
}
