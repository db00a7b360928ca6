// Package quantity has the small values that a manifest and a command line are made of: sizes, durations, file modes
// and names. Each parses from text, prints to text, and what it prints parses to the same value.
//
// Parsing never guesses: a size without a unit is an error, not a number of bytes. The package reads no clock and has
// no state. Every other package may import it.
package quantity

import "fmt"

// ParseError says why a text is not a quantity and what one looks like.
type ParseError struct {
	Kind string // "size", "duration", "mode", "name"
	Text string // as it came
	Why  string // what is wrong with it
	Want string // what to write, with an example
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("%s %q: %s; write %s", e.Kind, e.Text, e.Why, e.Want)
}

// digits splits the decimal number off the front of s. It has ok false when there is none or it passes int64.
func digits(s string) (n int64, rest string, ok bool) {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		d := int64(s[i] - '0')
		if n > (maxInt64-d)/10 {
			return 0, s, false
		}
		n = n*10 + d
		i++
	}
	return n, s[i:], i > 0
}

const maxInt64 = 1<<63 - 1
