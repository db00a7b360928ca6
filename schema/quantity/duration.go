package quantity

import "strconv"

// Duration is a span of time in nanoseconds, never negative when parsed. It converts to and from time.Duration; it is
// a type of its own because packages that must not see a clock use it.
type Duration int64

// The units of a duration.
const (
	Millisecond Duration = 1_000_000
	Second               = 1000 * Millisecond
	Minute               = 60 * Second
	Hour                 = 60 * Minute
)

var durationUnits = []struct {
	name string
	size Duration
}{{"h", Hour}, {"m", Minute}, {"s", Second}, {"ms", Millisecond}}

const wantDuration = "whole numbers with the units h, m, s or ms, largest first, such as 10s or 1h30m"

// ParseDuration reads whole numbers, each with a unit, from the largest unit to the smallest: "10s", "1h30m".
func ParseDuration(text string) (Duration, error) {
	fail := func(why string) (Duration, error) {
		return 0, &ParseError{Kind: "duration", Text: text, Why: why, Want: wantDuration}
	}
	if text == "" {
		return fail("is empty")
	}
	var sum Duration
	next := 0
	for rest := text; rest != ""; {
		n, after, ok := digits(rest)
		if !ok {
			if rest[0] >= '0' && rest[0] <= '9' {
				return fail("is more than 292 years")
			}
			return fail("has no number where one is due")
		}
		end := 0
		for end < len(after) && after[end] >= 'a' && after[end] <= 'z' {
			end++
		}
		unit := after[:end]
		rest = after[end:]
		if unit == "" {
			return fail("has a number without a unit")
		}
		i := next
		for i < len(durationUnits) && durationUnits[i].name != unit {
			i++
		}
		if i == len(durationUnits) {
			return fail("has an unknown, repeated or misplaced unit " + strconv.Quote(unit))
		}
		next = i + 1
		one := durationUnits[i].size
		if n > (maxInt64-int64(sum))/int64(one) {
			return fail("is more than 292 years")
		}
		sum += Duration(n) * one
	}
	return sum, nil
}

// String gives the form that ParseDuration reads: "1h30m", "0s". What is below a millisecond is cut off.
func (d Duration) String() string {
	if d > -Millisecond && d < Millisecond {
		return "0s"
	}
	text := ""
	if d < 0 {
		text = "-"
	}
	for _, u := range durationUnits {
		n := d / u.size
		d -= n * u.size
		if n < 0 {
			n = -n
		}
		if n > 0 {
			text += strconv.FormatInt(int64(n), 10) + u.name
		}
	}
	return text
}

// MarshalText gives String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText is ParseDuration.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := ParseDuration(string(b))
	if err == nil {
		*d = v
	}
	return err
}
