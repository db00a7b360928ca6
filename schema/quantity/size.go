package quantity

import "strconv"

// Size is a number of bytes, never negative when parsed.
type Size int64

// The units of a size: powers of 1024 and powers of 1000, as IEC 80000-13 and SI name them.
const (
	Byte Size = 1
	KiB       = 1024 * Byte
	MiB       = 1024 * KiB
	GiB       = 1024 * MiB
	TiB       = 1024 * GiB
	PiB       = 1024 * TiB
	KB        = 1000 * Byte
	MB        = 1000 * KB
	GB        = 1000 * MB
	TB        = 1000 * GB
	PB        = 1000 * TB
)

type sizeUnit struct {
	name string
	size Size
}

var (
	binaryUnits  = []sizeUnit{{"PiB", PiB}, {"TiB", TiB}, {"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}}
	decimalUnits = []sizeUnit{{"PB", PB}, {"TB", TB}, {"GB", GB}, {"MB", MB}, {"kB", KB}}
)

const wantSize = "a whole number and a unit, such as 512MiB or 1GiB"

// ParseSize reads a whole number and a unit: B, KiB to PiB, kB (or KB) to PB. One space between them is accepted, so
// that what String prints can be read.
func ParseSize(text string) (Size, error) {
	fail := func(why string) (Size, error) {
		return 0, &ParseError{Kind: "size", Text: text, Why: why, Want: wantSize}
	}
	n, unit, ok := digits(text)
	if !ok {
		if unit != "" && unit[0] >= '0' && unit[0] <= '9' {
			return fail("is more than 8 EiB")
		}
		return fail("has no number")
	}
	if len(unit) > 1 && unit[0] == ' ' {
		unit = unit[1:]
	}
	if unit == "" {
		return fail("has no unit")
	}
	one := unitSize(unit)
	if one == 0 {
		return fail("has an unknown unit")
	}
	if n > maxInt64/int64(one) {
		return fail("is more than 8 EiB")
	}
	return Size(n) * one, nil
}

func unitSize(name string) Size {
	switch name {
	case "B":
		return Byte
	case "KB":
		return KB
	}
	for _, u := range binaryUnits {
		if u.name == name {
			return u.size
		}
	}
	for _, u := range decimalUnits {
		if u.name == name {
			return u.size
		}
	}
	return 0
}

// Bytes gives the number of bytes.
func (s Size) Bytes() int64 { return int64(s) }

// String is for people: "512 MiB". See split for the unit.
func (s Size) String() string {
	n, unit := s.split()
	return strconv.FormatInt(n, 10) + " " + unit
}

// Text is for files and command lines: "512MiB". ParseSize gives back s, exactly, when s is not negative.
func (s Size) Text() string {
	n, unit := s.split()
	return strconv.FormatInt(n, 10) + unit
}

// split finds the largest binary unit of which s is a whole number, then the largest decimal one, then bytes.
func (s Size) split() (int64, string) {
	if s != 0 {
		for _, units := range [][]sizeUnit{binaryUnits, decimalUnits} {
			for _, u := range units {
				if s%u.size == 0 {
					return int64(s / u.size), u.name
				}
			}
		}
	}
	return int64(s), "B"
}

// MarshalText gives Text.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.Text()), nil }

// UnmarshalText is ParseSize.
func (s *Size) UnmarshalText(b []byte) error {
	v, err := ParseSize(string(b))
	if err == nil {
		*s = v
	}
	return err
}
