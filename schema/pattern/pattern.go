// Package pattern has regular expressions that are compiled when they are first asked for: no command pays at its start for
// those that it does not use.
package pattern

import (
	"regexp"
	"sync"
)

// Of is the expression of a text, which must be one.
func Of(text string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })
}
