package quantity

// Name is the name of a project or an object in it: a lower-case letter, then at most 30 lower-case letters, digits
// and hyphens. It has no dot, so that "project.name" can be told apart into its two halves.
type Name string

// MaxName is the largest number of bytes in a name.
const MaxName = 31

const wantName = "a lower-case letter, then lower-case letters, digits and hyphens, 31 at most"

// ParseName accepts text when it is a name.
func ParseName(text string) (Name, error) {
	fail := func(why string) (Name, error) {
		return "", &ParseError{Kind: "name", Text: text, Why: why, Want: wantName}
	}
	switch {
	case text == "":
		return fail("is empty")
	case len(text) > MaxName:
		return fail("is too long")
	case text[0] < 'a' || text[0] > 'z':
		return fail("does not begin with a lower-case letter")
	}
	for _, c := range []byte(text) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return fail("has a character that a name can't have")
		}
	}
	return Name(text), nil
}

// String gives the name.
func (n Name) String() string { return string(n) }

// MarshalText gives the name.
func (n Name) MarshalText() ([]byte, error) { return []byte(n), nil }

// UnmarshalText is ParseName.
func (n *Name) UnmarshalText(b []byte) error {
	v, err := ParseName(string(b))
	if err == nil {
		*n = v
	}
	return err
}
