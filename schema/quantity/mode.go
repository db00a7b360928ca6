package quantity

import "fmt"

// Mode is the permission bits of a file: read, write and execute for three, and setuid, setgid and sticky, as in
// chmod(2). It holds no file type.
type Mode uint32

const wantMode = "three or four octal digits, such as 0755"

// ParseMode reads three or four octal digits, with or without one more zero before them: "755", "0755", "1777".
func ParseMode(text string) (Mode, error) {
	fail := func(why string) (Mode, error) {
		return 0, &ParseError{Kind: "mode", Text: text, Why: why, Want: wantMode}
	}
	if len(text) < 3 || len(text) > 5 || len(text) == 5 && text[0] != '0' {
		return fail("has the wrong number of digits")
	}
	var m Mode
	for _, c := range []byte(text) {
		if c < '0' || c > '7' {
			return fail("is not octal")
		}
		m = m<<3 | Mode(c-'0')
	}
	return m, nil
}

// String gives four octal digits: "0755".
func (m Mode) String() string { return fmt.Sprintf("%04o", uint32(m)) }

// MarshalText gives String.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText is ParseMode.
func (m *Mode) UnmarshalText(b []byte) error {
	v, err := ParseMode(string(b))
	if err == nil {
		*m = v
	}
	return err
}
